import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import psutil
import pytest
from scipy.io import wavfile

from models.engine import Control, Scene
from models.errors import AudioError, Cancelled, EncodingError, ImageError, ParameterError
from models.params import LIMITS, GenerationParams
from models.pipeline import generate_video
from models.portrait import FaceDetector
from models.progress import Progress, Stage
from models.speech import SAMPLE_RATE, Speech
from models.video import VideoWriter

NTSC_24 = Fraction(24_000, 1001)
PARAMS = GenerationParams(width=128, height=128, length=24, fps=24, seed=7)


@dataclass
class FadingEngine:
    """Shows the portrait darker and darker, a few frames at a time."""

    name: str = "fading"
    device: str = "cpu"
    face_detector: FaceDetector | None = None
    block: int = 5
    blocks_made: int = 0
    before_block: Callable[[int], None] = lambda number: None
    speech: Speech | None = None

    def frames(self, scene: Scene, control: Control) -> Iterator[np.ndarray]:
        self.speech = scene.speech
        for first in range(0, scene.frame_count, self.block):
            self.before_block(self.blocks_made)
            self.blocks_made += 1
            control.progress(first / scene.frame_count)
            numbers = np.arange(first, min(first + self.block, scene.frame_count))
            light = 1 - numbers / scene.frame_count
            yield (scene.portrait.image * light[:, None, None, None]).astype(np.uint8)
        control.progress(1.0)

    def check_device(self) -> None:
        pass


@dataclass
class Diary:
    """Keeps every progress it is told."""

    pages: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        self.pages.append(progress)


def go_on() -> bool:
    return False


def kill_ffmpeg() -> None:
    for process in psutil.Process().children():
        process.kill()


@pytest.fixture
def generate(astronaut_file, speech_file, tmp_path) -> Callable[..., Progress]:
    """`generate_video` of the astronaut and the example clip into video.mp4.part, other arguments by name.

    Returns the last progress.
    """

    def run(on_progress: Callable[[Progress], None] = lambda progress: None, **changes: object) -> Progress:
        diary = Diary()

        def tell(progress: Progress) -> None:
            diary(progress)
            on_progress(progress)

        arguments = {
            "engine": FadingEngine(),
            "reference_image": astronaut_file,
            "audio_file": speech_file,
            "output": tmp_path / "video.mp4.part",
            "params": PARAMS,
            "on_progress": tell,
            "should_stop": go_on,
        }
        generate_video(**{**arguments, **changes})
        return diary.pages[-1]

    return run


def test_makes_a_video_and_tells_how_far_it_is(generate, tmp_path, decoded_frames):
    video = generate()
    frames = decoded_frames(tmp_path / "video.mp4.part", 128, 128)

    assert (video.stage, video.fraction) == (Stage.ENCODING, 1.0)
    assert video.frames_requested == video.frames_generated == len(frames) == 24
    assert video.audio_seconds == pytest.approx(6.41, abs=0.01)
    assert np.all(np.diff(frames.mean(axis=(1, 2, 3))) < 0)


def test_is_as_long_as_the_audio_where_length_allows_more(generate, sound_files, tmp_path, decoded_frames):
    video = generate(audio_file=sound_files["48000.wav"], params=replace(PARAMS, length=1200, fps=10))

    assert video.frames_generated == len(decoded_frames(tmp_path / "video.mp4.part", 128, 128)) == 15
    assert video.notices == ()


def test_keeps_the_decoded_speech_on_the_disk_of_the_video(
    generate, speech_file, small_disk, tmp_path, ffmpeg
):
    minute = tmp_path / "minute.wav"  # of 2 bytes × 16 kHz: more than there is room for
    ffmpeg("-stream_loop", -1, "-i", speech_file, "-t", 60, minute)
    with pytest.raises(OSError, match="No space left on device"):
        generate(audio_file=minute, output=small_disk / "video.mp4.part")


def test_says_where_the_audio_was_cut(generate):
    (notice,) = generate().notices

    assert notice.text == "the audio lasts 6.4 s; the video was cut to 1.0 s because length is 24 frames"
    assert dict(notice.values)["video_seconds"] == 1.0


@pytest.mark.parametrize(
    ("samples", "fps", "frames"),
    [
        (18_560, 25, 29), (18_559, 25, 29), (18_561, 25, 29), (18_575, 25, 29), (18_576, 25, 30),
        (1280, 25, 2), (16_016, NTSC_24, 24), (16_032, NTSC_24, 25), (16_000, Fraction(25, 2), 13),
    ],
)  # fmt: skip
def test_makes_every_frame_that_the_audio_reaches(samples, fps, frames, generate, wav_of_length):
    video = generate(audio_file=wav_of_length(samples), params=replace(PARAMS, fps=fps, length=100))

    assert video.frames_requested == frames
    assert [notice.code for notice in video.notices] == ["no_voice"]  # nothing is cut


@pytest.mark.parametrize(
    "rate", [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000]
)
def test_an_exact_audio_of_any_rate_makes_no_frame_too_many(rate, generate, wav_of_length):
    video = generate(audio_file=wav_of_length(rate, rate), params=replace(PARAMS, fps=12))

    assert video.frames_requested == 12


@pytest.fixture
def wav_of_length(tmp_path):
    def make(samples: int, rate: int = SAMPLE_RATE):
        wavfile.write(tmp_path / "short.wav", rate, np.full(samples, 1000, np.int16))
        return tmp_path / "short.wav"

    return make


# Seconds of silence, then a beep of 0.1 s, then 0.1 s of silence.
@pytest.mark.parametrize(
    ("seconds", "fps", "kind", "frames"),
    [
        (2.7, 1, "wav", 3),
        (2.64, 5, "wav", 15),
        (1.0, Fraction(25, 2), "flac", 15),
        (0.83, NTSC_24, "webm", 25),
    ],
)
def test_a_sound_within_the_last_frame_is_not_lost(
    seconds, fps, kind, frames, generate, ffmpeg, tmp_path, decoded_sound
):
    beep = f"aevalsrc='if(between(t,{seconds},{seconds}+0.1),0.5*sin(5000*t),0)':s=16000:d={seconds + 0.2}"
    ffmpeg("-f", "lavfi", "-i", beep, tmp_path / f"beep.{kind}")
    video = generate(audio_file=tmp_path / f"beep.{kind}", params=replace(PARAMS, fps=fps, length=100))
    sound = np.abs(decoded_sound(tmp_path / "video.mp4.part", 16_000)[:, 0])
    heard = np.flatnonzero(sound > 0.2)

    assert (video.frames_requested, video.notices) == (frames, ())
    assert heard[[0, -1]] / 16_000 == pytest.approx([seconds, seconds + 0.1], abs=0.02)
    assert len(sound) / 16_000 == pytest.approx(float(frames / fps), abs=0.03)
    assert sound[round((seconds + 0.15) * 16_000) :].max() < 0.01


def test_audio_of_one_frame_is_refused_with_its_length_and_what_is_needed(generate, wav_of_length):
    with pytest.raises(AudioError, match=r"lasts 0\.043 s; at 24 frames per second .* at least 0\.043 s"):
        generate(audio_file=wav_of_length(682))
    assert generate(audio_file=wav_of_length(43 * 16)).frames_requested == 2


def test_a_rate_that_is_not_whole_is_told_as_a_number(generate, wav_of_length):
    with pytest.raises(AudioError, match=r"at 23\.976 frames per second") as refusal:
        generate(audio_file=wav_of_length(300), params=replace(PARAMS, fps=NTSC_24))
    assert dict(refusal.value.notice.values)["fps"] == 23.976


def test_a_cut_at_a_rate_that_is_not_whole_is_told_in_seconds(generate):
    (notice,) = generate(params=replace(PARAMS, fps=NTSC_24)).notices

    assert dict(notice.values)["video_seconds"] == pytest.approx(1.001)


def test_the_largest_length_says_where_it_cuts_as_any_other_does(generate, ffmpeg, tmp_path):
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", 90, tmp_path / "long.flac")
    params = replace(PARAMS, fps=60, length=LIMITS.length.most)
    diary = Diary()
    with pytest.raises(Cancelled):
        generate(
            audio_file=tmp_path / "long.flac",
            params=params,
            on_progress=diary,
            should_stop=lambda: diary.pages[-1].stage is Stage.GENERATING,
        )
    _, notice = diary.pages[-1].notices  # there is no voice either

    assert diary.pages[-1].frames_requested == 5000
    assert notice.text == "the audio lasts 90.0 s; the video was cut to 83.3 s because length is 5000 frames"


def test_a_length_of_one_frame_is_refused(generate):
    with pytest.raises(ParameterError, match="length is 1, but a video needs at least 2 frames") as refusal:
        generate(params=replace(PARAMS, length=1))
    assert refusal.value.field == "length"


def test_the_engine_hears_everything_however_little_the_video_shows(generate):
    engine = FadingEngine()
    generate(engine=engine)

    assert abs(len(engine.speech.samples) - engine.speech.duration * SAMPLE_RATE) < 1
    assert engine.speech.duration > 6


def test_notices_of_portrait_and_speech_are_passed_on(generate, nobody_image, sound_files, tmp_path):
    nobody_image.save(tmp_path / "nobody.png")
    (tmp_path / "cut.webm").write_bytes(sound_files["clip.webm"].read_bytes()[:4000])
    diary = Diary()
    video = generate(
        reference_image=tmp_path / "nobody.png", audio_file=tmp_path / "cut.webm", on_progress=diary
    )

    assert [notice.code for notice in video.notices] == ["no_face", "audio_damaged"]
    assert {page.notices for page in diary.pages if page.stage is not Stage.PREPARING} == {video.notices}


@pytest.mark.parametrize("loudness", [0, 2000])
def test_where_no_voice_is_found_the_task_says_so(loudness, generate, tmp_path):
    noise = np.random.default_rng(0).normal(0, loudness, SAMPLE_RATE).astype(np.int16)
    wavfile.write(tmp_path / "noise.wav", SAMPLE_RATE, noise)
    video = generate(audio_file=tmp_path / "noise.wav")

    assert [notice.code for notice in video.notices] == ["no_voice"]


def test_a_wav_file_that_goes_on_is_shown_to_its_end(generate, tmp_path):
    part = tmp_path / "part.wav"
    wavfile.write(part, SAMPLE_RATE, np.full(SAMPLE_RATE, 1000, np.int16))
    (tmp_path / "joined.wav").write_bytes(part.read_bytes() * 2)
    video = generate(audio_file=tmp_path / "joined.wav", params=replace(PARAMS, length=100))

    assert (video.audio_seconds, video.frames_requested) == (2.0, 48)
    assert {path.name for path in tmp_path.iterdir()} == {"part.wav", "joined.wav", "video.mp4.part"}


def test_progress_goes_through_the_stages_and_never_back(generate):
    diary = Diary()
    generate(on_progress=diary)
    stages, fractions = [page.stage for page in diary.pages], [page.fraction for page in diary.pages]

    assert list(dict.fromkeys(stages)) == ["preparing", "generating", "encoding"]
    assert stages == sorted(stages, key=["preparing", "generating", "encoding"].index)
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert len(set(fractions)) >= 6


def test_progress_tells_frames_and_audio_as_soon_as_they_are_known(generate):
    diary = Diary()
    generate(on_progress=diary)
    preparing = [page for page in diary.pages if page.stage == "preparing"]
    later = [page for page in diary.pages if page.stage != "preparing"]

    assert {page.frames_requested for page in preparing} == {None}
    assert {page.frames_requested for page in later} == {24}
    assert {round(page.audio_seconds, 1) for page in later} == {6.4}
    assert list(dict.fromkeys(page.frames_generated for page in later)) == [0, 5, 10, 15, 20, 24]


def test_a_fraction_never_falls_even_where_the_engines_does(generate):
    class Wavering(FadingEngine):
        def frames(self, scene, control):
            control.progress(0.9)
            control.progress(0.1)
            control.progress(7.0)
            yield from super().frames(scene, control)

    diary = Diary()
    generate(engine=Wavering(), on_progress=diary)
    fractions = [page.fraction for page in diary.pages]

    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


@pytest.mark.parametrize("block", [0, 1, 4])
def test_stops_within_one_block_and_leaves_no_file(block, generate, tmp_path):
    engine = FadingEngine()

    with pytest.raises(Cancelled):
        generate(engine=engine, should_stop=lambda: engine.blocks_made > block)
    assert engine.blocks_made == block + 1
    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().children() == []


def test_stops_before_it_starts(generate):
    engine = FadingEngine()

    with pytest.raises(Cancelled):
        generate(engine=engine, should_stop=lambda: True)
    assert engine.blocks_made == 0


def test_an_engine_that_stops_by_itself_leaves_no_file(generate, tmp_path):
    def stop(number: int) -> None:
        if number == 2:
            raise Cancelled("engine")

    with pytest.raises(Cancelled, match="engine"):
        generate(engine=FadingEngine(before_block=stop))
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_fails_ends_the_encoder_and_leaves_no_file(generate, tmp_path):
    def fail(number: int) -> None:
        if number == 3:
            raise MemoryError("out of GPU memory")

    threads = threading.active_count()
    with pytest.raises(MemoryError, match="GPU"):
        generate(engine=FadingEngine(before_block=fail))
    assert threading.active_count() == threads
    assert psutil.Process().children() == []
    assert list(tmp_path.iterdir()) == []


def test_a_listener_that_fails_ends_both_sides_and_leaves_no_file(generate, tmp_path):
    def fail_at_frame_ten(progress: Progress) -> None:
        if progress.frames_generated == 10:
            raise ConnectionError("nobody listens")

    engine, threads = FadingEngine(), threading.active_count()
    with pytest.raises(ConnectionError):
        generate(engine=engine, on_progress=fail_at_frame_ten)
    assert engine.blocks_made == 2
    assert threading.active_count() == threads
    assert psutil.Process().children() == []
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_dies_ends_the_engine_and_leaves_no_file(generate, tmp_path):
    def die(number: int) -> None:
        if number == 3:
            kill_ffmpeg()

    engine = FadingEngine(before_block=die)
    params = replace(PARAMS, width=512, height=512, length=150)  # frames that no pipe holds
    with pytest.raises(EncodingError, match="ended with code -9"):
        generate(engine=engine, params=params)
    assert engine.blocks_made <= 6  # the one at hand and the two that were on their way
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [1, -1])
def test_an_engine_that_makes_another_number_of_frames_is_an_error(missing, generate, tmp_path):
    class Miscounting(FadingEngine):
        def frames(self, scene, control):
            return super().frames(replace(scene, frame_count=scene.frame_count - missing), control)

    with pytest.raises(EncodingError, match=f"the engine made {24 - missing} frames instead of 24"):
        generate(engine=Miscounting())
    assert list(tmp_path.iterdir()) == []


def test_the_engine_works_while_the_block_before_is_written(generate, monkeypatch):
    """The writer waits with the first block until the engine is at the second."""
    second_begun = threading.Event()
    write = VideoWriter.write

    def write_late(self, frames):
        assert second_begun.wait(timeout=60)
        write(self, frames)

    monkeypatch.setattr(VideoWriter, "write", write_late)
    generate(engine=FadingEngine(before_block=lambda number: second_begun.set() if number == 1 else None))


def test_only_a_few_blocks_wait_for_the_encoder(generate, monkeypatch):
    """The video is never held whole in memory, however slow the encoder."""
    engine = FadingEngine(block=1)
    waiting: list[int] = []
    written: list[int] = []
    write = VideoWriter.write

    def write_and_count(self, frames):
        waiting.append(engine.blocks_made - len(written))
        write(self, frames)
        written.append(len(frames))

    monkeypatch.setattr(VideoWriter, "write", write_and_count)
    generate(engine=engine)

    assert sum(written) == 24
    assert max(waiting) <= 4


def test_bad_uploads_are_refused_before_the_engine_starts(generate, tmp_path, silent_video):
    engine = FadingEngine()
    (tmp_path / "text").write_text("neither image nor audio")

    with pytest.raises(ImageError):
        generate(engine=engine, reference_image=tmp_path / "text")
    with pytest.raises(AudioError):
        generate(engine=engine, audio_file=tmp_path / "text")
    with pytest.raises(AudioError):
        generate(engine=engine, audio_file=silent_video)
    assert engine.blocks_made == 0
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
