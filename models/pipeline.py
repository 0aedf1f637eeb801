"""From two uploads to a video, the same way for every engine. Knows nothing of tasks, Ray or HTTP."""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from models.engine import Control, Engine, Scene
from models.errors import AudioError, Cancelled, ParameterError
from models.frame_rate import EXCESS, as_number, frames_covering
from models.label import Label
from models.notices import Notice
from models.params import LIMITS, GenerationParams
from models.portrait import FaceDetector, Portrait, load_portrait
from models.progress import Progress, Stage
from models.provenance import UNKNOWN, Provenance
from models.speech import Speech, load_speech
from models.video import VideoFormat, VideoWriter, open_video
from models.voice import has_voice
from models.wav import WholeWav, whole_wav

# The progress reached after each stage, as a share of the whole job; the rest is for completing the file.
PREPARED = 0.05
GENERATED = 0.98

# Blocks of frames between engine and encoder: one being written, one waiting. More would only use memory.
BLOCKS_AHEAD = 2


def generate_video(
    engine: Engine,
    reference_image: Path,
    audio_file: Path,
    output: Path,
    params: GenerationParams,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    provenance: Provenance = UNKNOWN,
) -> None:
    """Make the portrait speak; the video is never held in memory as a whole.

    Args:
        engine: makes the frames.
        reference_image: the uploaded portrait.
        audio_file: the uploaded speech; the video lasts to its end, but has at most `params.length` frames.
        output: where the MP4 goes; no file is left there unless it is complete.
        params: the parameters.
        on_progress: called for every step, in the calling thread.
        should_stop: called at least once per block of frames.
        provenance: what the video says of where it comes from.

    Raises:
        InputError: the image, the audio or a parameter cannot be used.
        EncodingError: ffmpeg could not write the video.
        DiskFull, OSError: there is no room for the video, or for the decoded speech, which is kept beside it.
        Cancelled: `should_stop` returned True.
    """
    report = _Reporter(on_progress)
    report(stage=Stage.PREPARING)
    with whole_wav(audio_file, output.parent) as audio:
        material = _prepare(reference_image, audio, output.parent, params, engine.face_detector, should_stop)
        _make(engine, material, output, provenance, report, should_stop)


@dataclass(frozen=True)
class _Material:
    """What an engine works on, and the notices about it."""

    params: GenerationParams
    portrait: Portrait
    speech: Speech
    frame_count: int
    notices: tuple[Notice, ...]


class _Reporter:
    """Keeps the latest `Progress` and reports every change to it."""

    def __init__(self, on_progress: Callable[[Progress], None]):
        self._on_progress = on_progress
        self._progress = Progress()

    def __call__(self, *, fraction: float = 0.0, **changes: Any) -> None:
        fraction = min(max(fraction, self._progress.fraction), 1.0)
        self._progress = replace(self._progress, fraction=fraction, **changes)
        self._on_progress(self._progress)


def _make(
    engine: Engine,
    material: _Material,
    output: Path,
    provenance: Provenance,
    report: _Reporter,
    should_stop: Callable[[], bool],
) -> None:
    report(
        stage=Stage.GENERATING,
        fraction=PREPARED,
        frames_requested=material.frame_count,
        audio_seconds=float(material.speech.duration),
        notices=material.notices,
    )
    params = material.params
    frames = engine.frames(
        Scene(material.portrait, material.speech, params, material.frame_count),
        Control(lambda share: report(fraction=PREPARED + share * (GENERATED - PREPARED)), should_stop),
    )
    video = VideoFormat(params.width, params.height, params.fps, material.frame_count)
    sound = material.speech.sound
    assert sound is not None, "it was loaded from a file"
    label = Label.of(params, provenance.label_text)
    with (
        open_video(output, video, sound, engine.name, provenance, label) as writer,
        closing(_written_beside(frames, writer, should_stop)) as counts,
    ):
        for frames_generated in counts:
            report(frames_generated=frames_generated)
        report(stage=Stage.ENCODING, fraction=GENERATED)
    report(fraction=1.0)


def _prepare(
    reference_image: Path,
    audio: WholeWav,
    folder: Path,
    params: GenerationParams,
    face_detector: FaceDetector | None,
    should_stop: Callable[[], bool],
) -> _Material:
    least = LIMITS.length.least
    if params.length < least:
        raise ParameterError("length_too_short", field="length", length=params.length, least=least)
    _stop_if_asked(should_stop)
    portrait = load_portrait(reference_image, params, face_detector)
    speech = load_speech(audio.path, should_stop, folder)
    frame_count = _frame_count(speech, params)
    mute = () if has_voice(speech.samples, should_stop) else (Notice.of("no_voice"),)
    heard = (*audio.notices, *speech.notices, *mute, *_cut_notices(speech, params))
    return _Material(params, portrait, speech, frame_count, (*portrait.notices, *heard))


def _frame_count(speech: Speech, params: GenerationParams) -> int:
    """How many frames show the audio to its end, at most `length`; silence completes the last one."""
    covering, least = frames_covering(speech.duration, params.fps), LIMITS.length.least
    if covering < least:
        needed = math.ceil(1000 * ((least - 1) / Fraction(params.fps) + EXCESS)) / 1000
        raise AudioError(
            "audio_too_short", seconds=float(speech.duration), fps=as_number(params.fps), needed=needed
        )
    return min(covering, params.length)


def _cut_notices(speech: Speech, params: GenerationParams) -> Iterator[Notice]:
    if frames_covering(speech.duration, params.fps) > params.length:
        yield Notice.of(
            "audio_cut",
            audio_seconds=float(speech.duration),
            video_seconds=float(params.length / params.fps),
            length=params.length,
        )


def _written_beside(
    frames: Iterator[np.ndarray], writer: VideoWriter, should_stop: Callable[[], bool]
) -> Generator[int, None, None]:
    """Write each block while the engine makes the next; yields the number of frames generated so far.

    An error on either side stops the other: the engine makes no more blocks, and no file is kept.
    """
    generated = 0
    writing: deque[Future[None]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="video-writer") as encoder:
        for block in frames:
            _stop_if_asked(should_stop)
            if len(writing) == BLOCKS_AHEAD:
                writing.popleft().result()
            writing.append(encoder.submit(writer.write, block))
            generated += len(block)
            yield generated
        for written in writing:
            written.result()


def _stop_if_asked(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Cancelled("stopped on request")
