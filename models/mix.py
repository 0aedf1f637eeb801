"""How the channels of a track become one, so that no voice is lost. Knows nothing of faces or frames."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import IO

import numpy as np

from models.bounds import Bounds
from models.errors import AudioError, Cancelled
from models.ffmpeg import run_ffmpeg, sound_input
from models.sound import AuHeader
from models.tracks import Track

RATE = 8_000  # Hz, at which channels are measured: it holds what makes speech intelligible
HIGH_PASS = "highpass=f=120"  # Hz: hum is not a voice
BLOCK = RATE // 10  # samples: a moment, in which channels are compared
READ_BLOCKS = 100

# At a moment, a mix has lost what its loudest channel has if it is fainter than this. The mean of two
# channels, of which one is silent, has a quarter of the power.
LOSS = 10 ** (-9 / 10)
# Moments this far below the loudest are pauses.
PAUSE = 1e-5
# The mix of a layout that loses in so few moments keeps what listeners know; a single channel may lose less,
# because others may have voices of their own.
TOLERATED_OF_LAYOUT = 0.05
TOLERATED_OF_ONE = 0.01


@dataclass(frozen=True)
class Levels:
    """The power at n moments.

    Attributes:
        channels: of each channel [n, channels].
        total: of the sum of all channels [n].
        downmix: of the mix that belongs to the layout [n]; None without a layout.
    """

    channels: np.ndarray
    total: np.ndarray
    downmix: np.ndarray | None = None


def choose_mix(path: Path, track: Track, bounds: Bounds, should_stop: Callable[[], bool]) -> str:
    """The filter with which a track is heard; see `Sound.mix`.

    Raises:
        AudioError: decoding exceeds the bounds.
        Cancelled: `should_stop` returned True.
    """
    if track.mono:
        return ""
    levels = _measure(path, track, bounds, should_stop)
    return mix_of(levels) if len(levels.channels) else ""


def mix_of(levels: Levels) -> str:
    """The first mix that loses nothing: the layout's own, the best channel, or the sum of all.

    The sum is amplified so that it is as loud as the loudest channel, but no channel by itself.
    """
    loudest = levels.channels.max(axis=1)
    weights = np.sqrt(loudest) * (loudest > PAUSE * loudest.max())
    gain = min(1.0, float(np.sqrt(loudest.sum() / max(levels.total.sum(), 1e-9))))

    def kept(power: np.ndarray) -> float:
        return float(weights[power >= LOSS * loudest].sum())

    count = levels.channels.shape[1]
    keeping = [(kept(power), float(power.sum())) for power in levels.channels.T]
    best = max(range(count), key=keeping.__getitem__)
    one, every = keeping[best][0], kept(gain**2 * levels.total)
    if levels.downmix is not None and kept(levels.downmix) >= (1 - TOLERATED_OF_LAYOUT) * max(one, every):
        return ""
    return _pan([best], 1.0) if one >= (1 - TOLERATED_OF_ONE) * every else _pan(range(count), gain)


def _pan(channels: "range | list[int]", gain: float) -> str:
    terms = "+".join(f"{gain:.5f}*c{channel}" for channel in channels)
    # In floating point, because a sum of whole numbers may wrap around.
    return f"aformat=sample_fmts=fltp,pan=mono|c0={terms}"


def _measure(path: Path, track: Track, bounds: Bounds, should_stop: Callable[[], bool]) -> Levels:
    arguments = ["-filter_threads", "1", *sound_input(path), "-map", f"0:a:{track.index}"]
    arguments += ["-af", HIGH_PASS, "-ar", str(RATE), "-c:a", "pcm_s16be", "-f", "au", "pipe:1"]
    with run_ffmpeg(arguments, stdout=PIPE) as ffmpeg, ffmpeg.bounded(bounds) as watch:
        header = AuHeader.read(ffmpeg.stdout)
        channels = header.channels if header else 1
        weights = downmix_of(track.layout, channels)
        moments = _moments(ffmpeg.stdout, channels, should_stop)
        parts = [_levels(samples, weights) for samples in moments]
        ffmpeg.wait()
    if watch.exceeded:
        raise AudioError("audio_too_slow")
    empty = Levels(np.empty((0, channels)), np.empty(0))
    return _joined(parts) if parts else empty


def downmix_of(layout: str, channels: int) -> np.ndarray | None:
    """Each channel's share of the mix that ffmpeg makes of a layout [channels]; None if it makes none."""
    if not layout:
        return None
    raw = ["-f", "s16le", "-ar", str(RATE)]
    arguments = [*raw, "-ch_layout", layout, "-i", "pipe:0", "-ac", "1", *raw, "pipe:1"]
    with run_ffmpeg(arguments, stdin=PIPE, stdout=PIPE) as ffmpeg:
        try:
            # One channel after the other is at half of full scale, for one sample.
            ffmpeg.stdin.write((np.eye(channels) * 2**14).astype("<i2").tobytes())
            ffmpeg.stdin.close()
        except OSError:
            return None
        mixed = np.frombuffer(ffmpeg.stdout.read(), "<i2") / 2**14
    return mixed if len(mixed) == channels else None


def _moments(stream: IO[bytes], channels: int, should_stop: Callable[[], bool]) -> Iterator[np.ndarray]:
    """float32 [moments, samples, channels], full scale is 1; the last moment is completed with silence."""
    size = BLOCK * channels
    while block := stream.read(READ_BLOCKS * size * 2):
        if should_stop():
            raise Cancelled("stopped while the channels were measured")
        samples = np.frombuffer(block[: len(block) // 2 * 2], ">i2").astype(np.float32) / 2**15
        yield np.pad(samples, (0, -len(samples) % size)).reshape(-1, BLOCK, channels)


def _levels(samples: np.ndarray, weights: np.ndarray | None) -> Levels:
    downmix = None if weights is None else _power(samples @ weights.astype(np.float32))
    return Levels(_power(samples), _power(samples.sum(axis=2)), downmix)


def _power(samples: np.ndarray) -> np.ndarray:
    return np.asarray((samples**2).mean(axis=1))


def _joined(parts: list[Levels]) -> Levels:
    downmix = None if parts[0].downmix is None else np.concatenate([part.downmix for part in parts])
    channels, total = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("channels", "total")
    )
    return Levels(channels, total, downmix)
