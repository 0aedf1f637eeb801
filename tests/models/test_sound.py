"""The video has the sound that the engine hears, at the same time, as phones can play it."""

from pathlib import Path

import numpy as np
import pytest

from models.bounds import Bounds
from models.sound import AuHeader, Sound, video_source
from models.timeline import Timeline
from models.video import VideoFormat, open_video
from tests.matroska import timed
from tests.models.recordings import lag, load, recording, wav, with_hole
from tests.models.test_mix import LAYOUTS, LFE, spread, wav_with_layout

BOUNDS = Bounds(2**30, seconds=60)
TIMES = range(0, 1800, 20)
RATE = 44_100


@pytest.fixture
def video_of(tmp_path):
    """Makes a video of an upload: of 58 frames, which is 2.4 s."""

    def make(content: bytes) -> Path:
        (tmp_path / "upload").write_bytes(content)
        sound = load(tmp_path / "upload").sound
        with open_video(tmp_path / "video.mp4", VideoFormat(64, 48, 24, 58), sound, "preview") as writer:
            writer.write(np.zeros((58, 48, 64, 3), np.uint8))
        return tmp_path / "video.mp4"

    return make


UPLOADS = {
    "a hole": timed(recording().tobytes(), [at + (500 if at >= 800 else 0) for at in TIMES]),
    "many holes": timed(recording().tobytes(), [at + at // 200 * 60 for at in TIMES]),
    "a late start": timed(
        np.concatenate([np.zeros(320, "<i2"), recording()]).tobytes(), [0, *(at + 300 for at in TIMES)]
    ),
    "a jump": timed(recording().tobytes(), [at + (10**8 if at >= 800 else 0) for at in TIMES]),
    "channels that cancel": wav(np.stack([recording(RATE), -recording(RATE)], axis=1), RATE),
    "a voice on one of sixty": wav(spread(60, 1), RATE),
    "a voice on the low-frequency channel": wav_with_layout(spread(6, LFE), LAYOUTS["5.1"]),
}


@pytest.mark.parametrize("content", UPLOADS.values(), ids=UPLOADS.keys())
def test_the_video_has_what_the_engine_hears(content, video_of, decoded_sound, tmp_path):
    video = video_of(content)
    heard = load(tmp_path / "upload").samples
    # As one loudspeaker plays it.
    late, alike = lag(decoded_sound(video)[:, 0], heard)

    assert abs(late) < 0.005
    assert alike > 0.97


@pytest.mark.parametrize("rate", [88_200, 96_000, 192_000, 64_000, 768_000])
def test_no_rate_is_higher_than_phones_play(rate, video_of, stream_info, decoded_sound):
    video = video_of(wav(np.repeat(recording(16_000), rate // 16_000), rate // 16_000 * 16_000))

    assert "48000 Hz" in stream_info(video)
    assert abs(lag(decoded_sound(video)[:, 0], recording())[0]) < 0.01


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_usual_rates_stay(rate, video_of, stream_info):
    assert f"{rate} Hz" in stream_info(video_of(wav(recording(rate), rate)))


def test_without_edits_it_is_the_upload_itself(speech_file, tmp_path):
    with video_source(Sound(speech_file, 2, "anull"), 1.0, tmp_path, BOUNDS) as source:
        assert f"file:{speech_file}" in source.arguments
        assert (source.track, source.filters) == (2, "asetpts=N/SR/TB,anull")
        assert list(tmp_path.iterdir()) == []


def test_with_edits_it_is_a_file_as_long_as_needed_and_gone_afterwards(tmp_path):
    (tmp_path / "upload").write_bytes(wav(recording()))
    sound = Sound(tmp_path / "upload", timeline=Timeline(16_000, ((8000, 16_000),), 44_800))
    for seconds, most in ((1.0, 1.0), (100.0, 2.8)):
        with video_source(sound, seconds, tmp_path, BOUNDS):
            (path,) = (path for path in tmp_path.iterdir() if path.name != "upload")
            with path.open("rb") as file:
                header = AuHeader.read(file)
                samples = np.frombuffer(file.read(), ">i4")

        assert (header.rate, header.channels) == (16_000, 1)
        assert len(samples) == pytest.approx(most * 16_000, abs=2)
        assert not samples[8000:16_000].any()
        assert [path.name for path in tmp_path.iterdir()] == ["upload"]


def test_a_hole_of_minutes_takes_no_more_disk_than_the_video_needs(tmp_path):
    (tmp_path / "upload").write_bytes(wav(with_hole(recording())))
    sound = Sound(tmp_path / "upload", timeline=Timeline(16_000, ((0, 16_000 * 500),), 16_000 * 502))
    with video_source(sound, 2.0, tmp_path, BOUNDS):
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 300_000
