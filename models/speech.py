"""From the bytes of an audio file to the samples that an engine analyses."""

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

import numpy as np

from models.bounds import Bounded, Bounds
from models.errors import AudioError, Cancelled
from models.ffmpeg import DISK_FULL, Ffmpeg, run_ffmpeg, sound_input
from models.mix import choose_mix
from models.notices import Notice
from models.params import MAX_AUDIO_HOURS
from models.sound import Sound
from models.timeline import Timeline, log_outputs, read_timeline
from models.tracks import choose_track

SAMPLE_RATE = 16_000
BYTES_PER_SAMPLE = 2

CHECKED_SECONDS = 0.5
BLOCK_BYTES = SAMPLE_RATE * BYTES_PER_SAMPLE  # one second: how often `should_stop` is called
MAX_SECONDS = MAX_AUDIO_HOURS * 3600

# Measured: four hours of Opus, the slowest format, or of stereo MP3, take 40 s and 0.3 GiB.
CHECK_BOUNDS = Bounds(memory=2**30, cpu_seconds=20, seconds=60)
LOAD_BOUNDS = Bounds(memory=2**30, cpu_seconds=240, seconds=240)


@dataclass(frozen=True)
class Speech:
    """The decoded speech.

    Attributes:
        samples: int16 mono [n] at `SAMPLE_RATE`, the whole file; memory-mapped, so that hours of it take no
            memory.
        notices: what the user should know about how the file was read.
        source_seconds: how long the file is by its own clock, a sample or so more or less than `samples`;
            None where only they are known.
        sound: how the file is heard; None where there is no file.
    """

    samples: np.ndarray
    notices: tuple[Notice, ...] = ()
    source_seconds: Fraction | None = None
    sound: Sound | None = None

    @property
    def duration(self) -> Fraction:
        """Duration of the whole file in seconds."""
        return self.source_seconds or Fraction(len(self.samples), SAMPLE_RATE)

    def beginning(self, seconds: float | Fraction) -> np.ndarray:
        """At most the first `seconds`, float32 within [-1, 1]."""
        return as_floats(self.samples[: round(seconds * SAMPLE_RATE)])


def as_floats(samples: np.ndarray) -> np.ndarray:
    """int16 to float32 within [-1, 1]."""
    return samples.astype(np.float32) / 2**15


def check_audio(path: Path) -> None:
    """Refuse a file that `load_speech` could not read, by decoding its first half second.

    Raises:
        AudioError: it is empty, by its content not in an accepted format, damaged from the start or without
            sound, or decoding it exceeds `CHECK_BOUNDS`.
    """
    if not path.stat().st_size:
        raise AudioError("audio_empty")
    # Whatever the mix will be: any channel shows that there are samples.
    sound = Sound(path, choose_track(path, CHECK_BOUNDS).index, "pan=mono|c0=c0")
    with _decoder(sound, CHECK_BOUNDS, ["-t", str(CHECKED_SECONDS)]) as (ffmpeg, watch):
        decoded = len(ffmpeg.stdout.read())
        _conclude(decoded, ffmpeg, watch)


def load_speech(path: Path, should_stop: Callable[[], bool], folder: Path | None = None) -> Speech:
    """Decode the track that a player would play to 16 kHz mono, by the clock of the file.

    Args:
        path: the audio file, whatever its name.
        should_stop: called at least once per decoded second.
        folder: where to keep the samples; by default the system's folder for temporary files.

    Raises:
        AudioError: see `check_audio`; also if it is longer than `MAX_SECONDS` or exceeds `LOAD_BOUNDS`.
        Cancelled: `should_stop` returned True.
        OSError: there is no room for the samples, 115 MB per hour.
    """
    if not path.stat().st_size:
        raise AudioError("audio_empty")
    started = time.monotonic()
    track = choose_track(path, CHECK_BOUNDS)
    mix = choose_mix(path, track, LOAD_BOUNDS, should_stop)
    sound = Sound(path, track.index, mix)
    bounds = LOAD_BOUNDS.less(time.monotonic() - started)
    # A file without a name, which disappears with the last array that maps it.
    with TemporaryFile(dir=folder) as decoded:
        timeline, complaint = _decode(sound, bounds, should_stop, decoded)
        if timeline.edits:
            with TemporaryFile(dir=folder) as laid_out:
                _lay_out(timeline, decoded, laid_out)
                samples = _mapped(laid_out)
        else:
            samples = _mapped(decoded)
    speech = Speech(samples, source_seconds=timeline.seconds, sound=replace(sound, timeline=timeline))
    damage = () if timeline.only_pauses else _damage(complaint, speech)
    return replace(speech, notices=(*track.notices(), *timeline.notices(), *damage))


def _decode(
    sound: Sound, bounds: Bounds, should_stop: Callable[[], bool], decoded: IO[bytes]
) -> tuple[Timeline, str | Notice | None]:
    """Decode everything, one sample after the other; returns when each is heard, and ffmpeg's complaint."""
    with TemporaryDirectory() as folder:
        logs = Path(folder, "blocks"), Path(folder, "packets")
        with _decoder(sound, bounds, more=log_outputs(sound.track, *logs)) as (ffmpeg, watch):
            for block in _blocks(ffmpeg, should_stop):
                decoded.write(block)
                _check_length(decoded)
            complaint = _conclude(decoded.tell(), ffmpeg, watch)
            # One that crashed has written less of one output than of the other.
            timeline = Timeline() if ffmpeg.wait() else read_timeline(*logs)
        return timeline, complaint


def _lay_out(timeline: Timeline, decoded: IO[bytes], laid_out: IO[bytes]) -> None:
    decoded.seek(0)
    blocks = iter(lambda: decoded.read(BLOCK_BYTES), b"")
    for block in timeline.laid_out(blocks, SAMPLE_RATE, BYTES_PER_SAMPLE):
        laid_out.write(block)
        _check_length(laid_out)


def _check_length(samples: IO[bytes]) -> None:
    if samples.tell() > MAX_SECONDS * SAMPLE_RATE * BYTES_PER_SAMPLE:
        raise AudioError("audio_too_long", hours=MAX_SECONDS // 3600)


def _mapped(samples: IO[bytes]) -> np.ndarray:
    samples.flush()
    count = samples.tell() // BYTES_PER_SAMPLE
    return np.memmap(samples, dtype="<i2", mode="r", shape=(count,))


@contextmanager
def _decoder(
    sound: Sound, bounds: Bounds, limit: Sequence[str] = (), more: Sequence[str] = ()
) -> Iterator[tuple[Ffmpeg, Bounded]]:
    """An ffmpeg that writes samples to stdout, up to a limit, and has more outputs."""
    output = ["-map", f"0:a:{sound.track}", "-af", sound.filters, "-ac", "1", "-ar", str(SAMPLE_RATE)]
    arguments = ["-filter_threads", "1", *sound_input(sound.path), *output]
    arguments += [*limit, "-f", "s16le", "pipe:1", *more]
    with run_ffmpeg(arguments, stdout=PIPE) as ffmpeg, ffmpeg.bounded(bounds) as watch:
        yield ffmpeg, watch


def _blocks(ffmpeg: Ffmpeg, should_stop: Callable[[], bool]) -> Iterator[bytes]:
    while block := ffmpeg.stdout.read(BLOCK_BYTES):
        if should_stop():
            raise Cancelled("stopped while the audio was decoded")
        yield block


def _conclude(decoded: int, ffmpeg: Ffmpeg, watch: Bounded) -> str | Notice | None:
    """Wait for ffmpeg; returns its complaint, if any, and raises if nothing was decoded."""
    code = ffmpeg.wait()
    if watch.exceeded:
        raise AudioError("audio_too_slow")
    if full := ffmpeg.said(*DISK_FULL):
        raise OSError(errno.ENOSPC, full)
    complaint = ffmpeg.complaint(code)
    if decoded:
        return complaint
    if complaint is None or "matches no streams" in ffmpeg.words:
        raise AudioError("audio_without_sound")
    if "not on whitelist" in ffmpeg.words:
        raise AudioError("audio_not_accepted")
    raise AudioError("audio_undecodable", reason=complaint)


def _damage(complaint: str | Notice | None, speech: Speech) -> Iterator[Notice]:
    if complaint is not None:
        yield Notice.of("audio_damaged", reason=complaint, seconds=float(speech.duration))
