"""From the bytes of an audio file to the samples that an engine analyses."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np

from models.bounds import Bounded, Bounds
from models.clock import clock_output, read_clock
from models.errors import AudioError, Cancelled
from models.ffmpeg import DISK_FULL, FROM_ZERO, Ffmpeg, run_ffmpeg, sound_input
from models.notices import Notice
from models.params import MAX_AUDIO_HOURS

STREAM = "0:a:0"
SAMPLE_RATE = 16_000
BYTES_PER_SAMPLE = 2

CHECKED_SECONDS = 0.5
BLOCK_BYTES = SAMPLE_RATE * BYTES_PER_SAMPLE  # one second: how often `should_stop` is called
MAX_SECONDS = MAX_AUDIO_HOURS * 3600

# Measured: four hours of Opus, the slowest format, take 60 s and less than 0.3 GiB.
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
    """

    samples: np.ndarray
    notices: tuple[Notice, ...] = ()
    source_seconds: Fraction | None = None

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
    with _decoder(path, CHECKED_SECONDS, CHECK_BOUNDS) as (ffmpeg, watch):
        decoded = len(ffmpeg.stdout.read())
        _conclude(decoded, ffmpeg, watch)


def load_speech(path: Path, should_stop: Callable[[], bool], folder: Path | None = None) -> Speech:
    """Decode the first audio stream to 16 kHz mono.

    Args:
        path: the audio file, whatever its name.
        should_stop: called once per decoded second.
        folder: where to keep the samples; by default the system's folder for temporary files.

    Raises:
        AudioError: see `check_audio`; also if it is longer than `MAX_SECONDS` or exceeds `LOAD_BOUNDS`.
        Cancelled: `should_stop` returned True.
        OSError: there is no room for the samples, 115 MB per hour.
    """
    # A file without a name, which disappears with the last array that maps it.
    with TemporaryFile(dir=folder) as decoded, TemporaryDirectory() as counted:
        clock = Path(counted, "clock")
        counting = ["-t", str(MAX_SECONDS + 1), *clock_output(clock, STREAM, FROM_ZERO)]
        with _decoder(path, MAX_SECONDS + 1, LOAD_BOUNDS, counting) as (ffmpeg, watch):
            for block in _blocks(ffmpeg, should_stop):
                decoded.write(block)
            count = decoded.tell() // BYTES_PER_SAMPLE
            complaint = _conclude(count, ffmpeg, watch)
            # One that crashed has written less of one output than of the other.
            seconds = None if ffmpeg.wait() else read_clock(clock)
        decoded.flush()
        speech = Speech(np.memmap(decoded, dtype="<i2", mode="r", shape=(count,)), source_seconds=seconds)
    if speech.duration > MAX_SECONDS:
        raise AudioError("audio_too_long", hours=MAX_SECONDS // 3600)
    return replace(speech, notices=tuple(_notices(complaint, speech)))


@contextmanager
def _decoder(
    path: Path, seconds: float, bounds: Bounds, more: Sequence[str] = ()
) -> Iterator[tuple[Ffmpeg, Bounded]]:
    if not path.stat().st_size:
        raise AudioError("audio_empty")
    output = ["-map", STREAM, "-vn", "-sn", "-dn", "-af", FROM_ZERO, "-ac", "1", "-ar", str(SAMPLE_RATE)]
    arguments = ["-filter_threads", "1", *sound_input(path), *output]
    arguments += ["-t", str(seconds), "-f", "s16le", "pipe:1", *more]
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


def _notices(complaint: str | Notice | None, speech: Speech) -> Iterator[Notice]:
    if complaint is not None:
        yield Notice.of("audio_damaged", reason=complaint, seconds=float(speech.duration))
