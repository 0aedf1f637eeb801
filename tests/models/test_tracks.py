"""Of several tracks, the one is heard that a player would play, and the task says that there were others."""

import pytest

from models.speech import LOAD_BOUNDS, SAMPLE_RATE, check_audio
from models.tracks import Track, choose_track
from tests.matroska import block, matroska, packets, track
from tests.models.recordings import codes, lag, load, recording, wav


def several(*defaults: bool, spoken: int) -> bytes:
    """A file with so many tracks, marked as the default or not; one of them, from 0, has the recording."""
    voice, silence = packets(recording().tobytes()), packets(bytes(recording().nbytes))
    blocks = (
        block(20 * number, (voice if index == spoken else silence)[number], index + 1)
        for number in range(len(voice))
        for index in range(len(defaults))
    )
    return matroska(blocks, [track(index + 1, default=flag) for index, flag in enumerate(defaults)])


@pytest.mark.parametrize(
    ("defaults", "chosen"),
    [
        ((True, False), 0),
        ((False, True), 1),
        ((False, False, True), 2),
        ((True, True), 0),
        ((False, False), 0),
        ((False, True, True), 1),
    ],
)
def test_the_first_track_with_the_default_flag_is_heard_or_else_the_first(defaults, chosen, tmp_path):
    (tmp_path / "several.mkv").write_bytes(several(*defaults, spoken=chosen))
    check_audio(tmp_path / "several.mkv")
    speech = load(tmp_path / "several.mkv")
    notice = next(notice for notice in speech.notices)

    assert lag(speech.samples, recording()) == pytest.approx((0, 1))
    assert codes(speech) == ["audio_tracks"]
    assert dict(notice.values) == {"count": len(defaults), "number": chosen + 1}


@pytest.mark.parametrize("dispositions", [("default", "0"), ("0", "default")])
def test_the_enabled_track_of_an_mp4_is_heard(dispositions, ffmpeg, tmp_path):
    (tmp_path / "voice.wav").write_bytes(wav(recording()))
    silence = ["-f", "lavfi", "-t", 1.8, "-i", f"anullsrc=r={SAMPLE_RATE}:cl=mono"]
    flags = [item for index, name in enumerate(dispositions) for item in (f"-disposition:a:{index}", name)]
    order = ["-map", "1:a", "-map", "0:a"] if dispositions[1] == "default" else ["-map", "0:a", "-map", "1:a"]
    ffmpeg("-i", tmp_path / "voice.wav", *silence, *order, "-c:a", "aac", *flags, tmp_path / "two.mp4")
    speech = load(tmp_path / "two.mp4")

    assert lag(speech.samples, recording())[1] > 0.9
    assert codes(speech) == ["audio_tracks"]


def test_a_picture_is_no_track(ffmpeg, speech_file, tmp_path):
    picture = ["-f", "lavfi", "-i", "testsrc=d=1:s=64x64:r=5"]
    ffmpeg(*picture, "-i", speech_file, "-t", 1, tmp_path / "film.mp4")

    assert choose_track(tmp_path / "film.mp4", LOAD_BOUNDS) == Track(0, 1, mono=True, layout="mono")


def test_what_a_file_says_of_itself_is_no_track(ffmpeg, speech_file, tmp_path):
    lie = "title=x\nStream #0:7: Audio: aac, 48000 Hz, 5.1 (default)"
    ffmpeg("-i", speech_file, "-metadata", lie, tmp_path / "liar.mka")

    assert choose_track(tmp_path / "liar.mka", LOAD_BOUNDS) == Track(0, 1, mono=True, layout="mono")


def test_layouts_are_told_from_mere_channels(ffmpeg, speech_file, tmp_path):
    for channels, layout in ((2, "stereo"), (6, "5.1")):
        ffmpeg("-i", speech_file, "-ac", channels, "-t", 1, tmp_path / "channels.flac")

        assert choose_track(tmp_path / "channels.flac", LOAD_BOUNDS).layout == layout
    (tmp_path / "six.wav").write_bytes(wav(recording().reshape(-1, 6)))
    assert choose_track(tmp_path / "six.wav", LOAD_BOUNDS) == Track(0, 1, mono=False, layout="")


def test_of_a_file_that_cannot_be_read_it_is_the_first(tmp_path):
    (tmp_path / "text").write_text("no sound")

    assert choose_track(tmp_path / "text", LOAD_BOUNDS) == Track()
