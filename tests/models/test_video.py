import json
import re
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from scipy.io import wavfile

from models.errors import DiskFull, EncodingError
from models.label import Label
from models.provenance import Provenance
from models.sound import Sound
from models.speech import load_speech
from models.video import BT709, ENCODE_BOUNDS, X264, VideoFormat, open_video
from models.yuv import to_yuv420p

NOISE = VideoFormat(width=640, height=480, fps=24, frame_count=24)  # more than a megabyte
FORMAT = VideoFormat(width=64, height=48, fps=24, frame_count=30)
AAC_FRAME = 1024  # samples


def numbered_frames(video: VideoFormat, first: int = 0, count: int | None = None) -> np.ndarray:
    """Frames in one grey each, darker to lighter, so that each can be told from its neighbours."""
    numbers = np.arange(first, first + (video.frame_count if count is None else count))
    greys = (16 + numbers * 200 // video.frame_count).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (len(numbers), video.height, video.width, 3))


def write(path: Path, sound: Path | Sound, video: VideoFormat = FORMAT, engine: str = "preview") -> Path:
    sound = sound if isinstance(sound, Sound) else Sound(sound)
    with open_video(path, video, sound, engine) as writer:
        writer.write(numbered_frames(video))
    return path


def own_ffmpeg() -> psutil.Process:
    (process,) = psutil.Process().children()
    return process


@pytest.fixture(scope="module")
def video_file(tmp_path_factory, speech_file):
    return write(tmp_path_factory.mktemp("video") / "task.mp4.part", speech_file)


def test_holds_exactly_the_frames_that_were_written_in_order(video_file, decoded_frames):
    frames = decoded_frames(video_file, FORMAT.width, FORMAT.height)
    written = numbered_frames(FORMAT)

    assert len(frames) == FORMAT.frame_count
    assert np.abs(frames.astype(int) - written).max() <= 4


@pytest.mark.parametrize(("fps", "frame_count"), [(1, 2), (7, 20), (25, 3), (60, 61)])
def test_every_rate_and_length_is_exact(
    fps, frame_count, speech_file, tmp_path, decoded_frames, decoded_sound
):
    video = VideoFormat(64, 48, fps, frame_count)
    path = write(tmp_path / "video.mp4", speech_file, video)

    assert len(decoded_frames(path, 64, 48)) == frame_count
    assert len(decoded_sound(path, 22_050)) == pytest.approx(video.seconds * 22_050, abs=AAC_FRAME)


@pytest.mark.parametrize(
    "fps",
    [
        Fraction(24_000, 1001),
        Fraction(30_000, 1001),
        Fraction(60_000, 1001),
        Fraction(25, 2),
        Fraction(60_059, 1001),
    ],
)
def test_a_rate_that_is_not_whole_is_exact_from_the_first_frame_to_the_last(
    fps, speech_file, tmp_path, ffmpeg, decoded_frames
):
    video = VideoFormat(64, 48, fps, 50)
    path = write(tmp_path / "video.mp4", speech_file, video)
    rate, last = timeline(ffmpeg, path, "v")
    sound_rate, sound_end = timeline(ffmpeg, path, "a")

    assert len(decoded_frames(path, 64, 48)) == video.frame_count
    assert last * rate == video.frame_count / fps
    assert sound_end * sound_rate == pytest.approx(video.seconds, abs=float(sound_rate))


def timeline(ffmpeg, path: Path, kind: str) -> tuple[Fraction, int]:
    """The time base of the file's picture or sound, and its end in it."""
    report = ffmpeg("-i", path, "-map", f"0:{kind}:0", "-c", "copy", "-f", "framecrc", "-").decode()
    packets = [list(map(int, row)) for row in re.findall(r"^0,\s*(-?\d+),\s*(-?\d+),\s*(\d+),", report, re.M)]
    return Fraction(re.search(r"^#tb 0: (\S+)$", report, re.M)[1]), max(
        at + lasts for _, at, lasts in packets
    )


def test_is_h264_with_aac_that_every_browser_plays(video_file, stream_info):
    info = stream_info(video_file)

    assert "Video: h264" in info
    assert "yuv420p(tv, bt709, progressive)" in info
    assert "64x48" in info
    assert "24 fps" in info
    assert "Audio: aac" in info


def test_can_be_played_before_it_is_all_there(video_file):
    content = video_file.read_bytes()

    assert content.index(b"moov") < content.index(b"mdat")


def test_colours_come_back_as_they_went_in(speech_file, tmp_path, decoded_frames):
    colours = np.array([(220, 170, 150), (200, 30, 30), (30, 200, 30), (30, 30, 200)], np.uint8)
    frame = np.repeat(np.repeat(colours, 16, axis=0)[None], 48, axis=0)
    with open_video(tmp_path / "video.mp4", FORMAT, Sound(speech_file), "preview") as writer:
        writer.write(np.repeat(frame[None], FORMAT.frame_count, axis=0))
    decoded = decoded_frames(tmp_path / "video.mp4", 64, 48)[-1, 24, 8::16]

    assert np.abs(decoded.astype(int) - colours).max() <= 6


@pytest.fixture(params=["ffmpeg", "ffprobe", "exiftool", "mediainfo"])
def metadata_of(request, ffmpeg):
    """What each of three programs reads of a file's metadata, by the names of the MP4 keys."""

    def by_ffmpeg(path):
        lines = ffmpeg("-i", path, "-f", "ffmetadata", "-").decode().splitlines()
        pairs = (line.split("=", 1) for line in lines if "=" in line)
        return {name: re.sub(r"\\(.)", r"\1", value) for name, value in pairs}

    def by_ffprobe(path):
        printed = run("ffprobe", "-v", "error", "-show_entries", "format_tags", "-of", "json", path)
        return json.loads(printed)["format"]["tags"]

    def by_exiftool(path):
        (tags,) = json.loads(run("exiftool", "-json", "-Keys:all", path))
        return {"AIGC": tags["AIGC"], "comment": tags["Comment"]}

    def by_mediainfo(path):
        return json.loads(run("mediainfo", "--Output=JSON", path))["media"]["track"][0]["extra"]

    def run(*command):
        return subprocess.run(command, capture_output=True, check=True).stdout

    if request.param != "ffmpeg" and not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed (Debian: ffmpeg, libimage-exiftool-perl, mediainfo)")
    readers = {"ffmpeg": by_ffmpeg, "ffprobe": by_ffprobe, "exiftool": by_exiftool, "mediainfo": by_mediainfo}
    return readers[request.param]


def test_says_that_it_is_ai_generated_and_by_whom(speech_file, tmp_path, metadata_of):
    provenance = Provenance('某公司 "A" = b; #c\\d, Ltd.', "3f0e2c1a-9d1b-4c55-8a3e-1f2a3b4c5d6e")
    with open_video(tmp_path / "video.mp4", FORMAT, Sound(speech_file), "echomimic", provenance) as writer:
        writer.write(numbered_frames(FORMAT))
    read = metadata_of(tmp_path / "video.mp4")

    assert {name: read[name] for name in ("AIGC", "comment")} == provenance.metadata("echomimic")


def test_without_a_label_the_frames_are_encoded_as_they_are(speech_file, tmp_path, decoded_frames, ffmpeg):
    """Bit for bit what ffmpeg makes of them with neither a label nor the metadata."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8)
    with open_video(
        tmp_path / "video.mp4", replace(FORMAT, frame_count=12), Sound(speech_file), "preview"
    ) as writer:
        writer.write(noise)
    (tmp_path / "raw").write_bytes(b"".join(to_yuv420p(frame).tobytes() for frame in noise))
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", "64x48", "-framerate", 24]
    ffmpeg(*raw, "-i", tmp_path / "raw", "-vf", BT709, *X264, tmp_path / "plain.mp4")

    assert np.array_equal(*(decoded_frames(tmp_path / name, 64, 48) for name in ("video.mp4", "plain.mp4")))


def test_a_label_is_on_the_frames_that_it_is_for(speech_file, tmp_path, decoded_frames):
    video = VideoFormat(128, 128, 24, 60)
    blocks = np.full((60, 128, 128, 3), 100, np.uint8)
    with open_video(
        tmp_path / "video.mp4", video, Sound(speech_file), "preview", label=Label("AI", 128, 128, 48)
    ) as writer:
        for first in range(0, 60, 20):  # the second block ends before the label does, the third after
            writer.write(blocks[first : first + 20])
    frames = decoded_frames(tmp_path / "video.mp4", 128, 128)
    brightest = frames.max(axis=(1, 2, 3))

    assert (brightest[:48] > 220).all()
    assert (brightest[48:] < 120).all()
    assert (blocks == 100).all()


def test_plays_in_a_browser_to_its_end(speech_file, tmp_path, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    provenance = Provenance("某公司", "3f0e2c1a")
    label = Label("AI 生成", FORMAT.width, FORMAT.height)
    with open_video(
        tmp_path / "video.mp4", FORMAT, Sound(speech_file), "preview", provenance, label
    ) as writer:
        writer.write(numbered_frames(FORMAT))
    (tmp_path / "page.html").write_text('<video src="video.mp4" muted autoplay></video>')
    browser.get((tmp_path / "page.html").as_uri())
    WebDriverWait(browser, 30).until(
        lambda it: it.execute_script("return document.querySelector('video').ended")
    )
    width, height, seconds = browser.execute_script(
        "const video = document.querySelector('video');"
        "return [video.videoWidth, video.videoHeight, video.duration];"
    )

    assert (width, height) == (FORMAT.width, FORMAT.height)
    assert seconds == pytest.approx(FORMAT.seconds, abs=0.05)


def test_says_nothing_of_what_the_upload_says_about_itself(ffmpeg, speech_file, tmp_path, stream_info):
    tags = [
        "-metadata",
        "title=Holidays",
        "-metadata",
        "location=+52.5+013.4/",
        "-metadata",
        "artist=Somebody",
    ]
    ffmpeg("-i", speech_file, *tags, tmp_path / "tagged.m4a")
    info = stream_info(write(tmp_path / "video.mp4", tmp_path / "tagged.m4a"))

    assert "Holidays" in stream_info(tmp_path / "tagged.m4a")
    for secret in ("Holidays", "+52.5", "Somebody"):
        assert secret not in info


def test_the_sound_is_the_uploads_from_its_start(video_file, speech_file, decoded_sound):
    sound, original = decoded_sound(video_file, 22_050)[:, 0], decoded_sound(speech_file, 22_050)[:, 0]
    count = round(FORMAT.seconds * 22_050)

    assert np.corrcoef(sound[:count], original[:count])[0, 1] > 0.99


@pytest.mark.parametrize("name", ["clip.mp3", "clip.aac", "clip.opus.ogg", "clip.webm", "late"])
def test_the_sound_is_in_step_with_what_the_engine_hears(
    name, sound_files, late_sound, tmp_path, decoded_sound
):
    upload = late_sound if name == "late" else sound_files[name]
    speech = load_speech(upload, lambda: False)
    heard = speech.beginning(FORMAT.seconds)
    sound = decoded_sound(write(tmp_path / "video.mp4", speech.sound))[: len(heard), 0]

    assert np.corrcoef(sound, heard)[0, 1] > 0.9


def test_stereo_stays_stereo(ffmpeg, tmp_path, decoded_sound, stream_info):
    sides = "aevalsrc=0.5*sin(2000*t)|0.5*sin(5000*t):s=48000:d=2"
    ffmpeg("-f", "lavfi", "-i", sides, tmp_path / "stereo.flac")
    path = write(tmp_path / "video.mp4", tmp_path / "stereo.flac")
    sound, original = (
        decoded_sound(file, 48_000, 2)[4800:48_000] for file in (path, tmp_path / "stereo.flac")
    )

    assert "48000 Hz, stereo" in stream_info(path)
    for side in (0, 1):
        assert np.corrcoef(sound[:, side], original[:, side])[0, 1] > 0.99


def test_sound_that_ends_early_is_followed_by_silence(sound_files, tmp_path, decoded_sound):
    video = VideoFormat(64, 48, 24, 72)
    sound = decoded_sound(write(tmp_path / "video.mp4", sound_files["clip.flac"], video), 22_050)

    assert len(sound) == pytest.approx(video.seconds * 22_050, abs=AAC_FRAME)
    assert np.abs(sound[: round(1.5 * 22_050)]).max() > 0.1
    assert np.abs(sound[round(1.6 * 22_050) :]).max() < 1e-3


def test_every_sound_format_can_be_put_under_a_video(sound_file, tmp_path, decoded_sound):
    sound = decoded_sound(write(tmp_path / "video.mp4", sound_file))

    assert len(sound) == pytest.approx(FORMAT.seconds * 16_000, abs=AAC_FRAME * 2)
    assert np.abs(sound).max() > 0.1


def test_a_wav_of_not_a_numbers_can_be_put_under_a_video(tmp_path, decoded_sound):
    samples = np.full(32_000, np.nan, np.float32)
    wavfile.write(tmp_path / "nan.wav", 16_000, samples)

    assert len(decoded_sound(write(tmp_path / "video.mp4", tmp_path / "nan.wav"))) > 0


@pytest.mark.parametrize("written", [0, 1, FORMAT.frame_count - 1, FORMAT.frame_count + 1])
def test_another_number_of_frames_is_an_error_and_leaves_no_file(written, speech_file, tmp_path):
    def write_some() -> None:
        with open_video(tmp_path / "video.mp4", FORMAT, Sound(speech_file), "preview") as writer:
            writer.write(numbered_frames(FORMAT, 0, written))

    with pytest.raises(EncodingError, match=f"the engine made {written} frames instead of 30"):
        write_some()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", [np.zeros((1, 48, 60, 3), np.uint8), np.zeros((1, 48, 64, 3), np.float32)])
def test_frames_of_another_shape_or_type_are_refused(frames, speech_file, tmp_path):
    with (
        pytest.raises(ValueError, match="do not fit"),
        open_video(tmp_path / "video.mp4", FORMAT, Sound(speech_file), "preview") as writer,
    ):
        writer.write(frames)


def test_an_error_in_between_ends_ffmpeg_and_leaves_no_file(speech_file, tmp_path):
    encoders = []

    def break_off() -> None:
        with open_video(tmp_path / "video.mp4", FORMAT, Sound(speech_file), "preview") as writer:
            encoders.append(own_ffmpeg())
            writer.write(numbered_frames(FORMAT, 0, 10))
            raise RuntimeError("engine")

    with pytest.raises(RuntimeError, match="engine"):
        break_off()
    assert not encoders[0].is_running()
    assert list(tmp_path.iterdir()) == []


def test_an_ffmpeg_that_hangs_does_not_keep_an_error_from_being_told(speech_file, tmp_path):
    def break_off() -> None:
        with open_video(tmp_path / "video.mp4", FORMAT, Sound(speech_file), "preview"):
            own_ffmpeg().suspend()
            raise RuntimeError("engine")

    with pytest.raises(RuntimeError, match="engine"):
        break_off()
    assert psutil.Process().children() == []


def test_refuses_what_takes_too_much_memory(speech_file, tmp_path, monkeypatch):
    monkeypatch.setattr("models.video.ENCODE_BOUNDS", replace(ENCODE_BOUNDS, memory=2**20))

    with pytest.raises(EncodingError, match="ffmpeg could not write the video"):
        write(tmp_path / "video.mp4", speech_file)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_frames_there_are_fit_into_the_memory_it_may_take(speech_file, tmp_path):
    noise = np.random.default_rng(0)
    video = VideoFormat(1024, 1024, 24, 30)
    with open_video(tmp_path / "video.mp4", video, Sound(speech_file), "preview") as writer:
        for _ in range(video.frame_count):
            writer.write(noise.integers(0, 256, (1, 1024, 1024, 3), dtype=np.uint8))

    assert (tmp_path / "video.mp4").stat().st_size > 2**20


def test_an_ffmpeg_that_dies_is_an_error_while_there_are_frames_to_come(speech_file, tmp_path):
    video = VideoFormat(512, 512, 24, 1000)
    written = []

    def go_on_writing() -> None:
        with open_video(tmp_path / "video.mp4", video, Sound(speech_file), "preview") as writer:
            writer.write(numbered_frames(video, 0, 10))
            own_ffmpeg().kill()
            for first in range(10, video.frame_count):
                writer.write(numbered_frames(video, first, 1))
                written.append(first)

    with pytest.raises(EncodingError, match="ended with code -9"):
        go_on_writing()
    assert len(written) <= 2  # what was under way when it died
    assert list(tmp_path.iterdir()) == []


def test_an_ffmpeg_that_dies_after_the_last_frame_is_an_error(speech_file, tmp_path):
    def lose_the_end() -> None:
        with open_video(tmp_path / "video.mp4", FORMAT, Sound(speech_file), "preview") as writer:
            writer.write(numbered_frames(FORMAT))
            own_ffmpeg().kill()

    with pytest.raises(EncodingError, match="ended with code -9"):
        lose_the_end()
    assert list(tmp_path.iterdir()) == []


def test_says_in_ffmpegs_words_why_it_failed(speech_file, tmp_path):
    with pytest.raises(EncodingError, match="No such file or directory"):
        write(tmp_path / "no such folder" / "video.mp4", speech_file)


def test_a_sound_it_may_not_read_is_an_error(tmp_path, speech_file):
    (tmp_path / "secret.wav").write_bytes(speech_file.read_bytes())
    (tmp_path / "audio.wav").write_text("ffconcat version 1.0\nfile secret.wav\n")

    with pytest.raises(EncodingError, match="not on whitelist"):
        write(tmp_path / "video.mp4", tmp_path / "audio.wav")


def test_a_full_disk_is_told_as_such(small_disk, speech_file):
    path = small_disk / "task.mp4.part"
    noise = np.random.default_rng(0).integers(0, 256, (24, 480, 640, 3), np.uint8)
    with (
        pytest.raises(DiskFull, match="No space left on device"),
        open_video(path, NOISE, Sound(speech_file), "preview") as writer,
    ):
        writer.write(noise)
    assert not path.exists()
