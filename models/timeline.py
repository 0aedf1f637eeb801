"""When each sample of an upload is heard: holes in its timestamps are silence. Knows nothing of formats.

A decoder gives samples in blocks, each with the time at which it begins. Mostly each begins where the one
before ends. Where packets are missing or cannot be decoded, or the sound starts late, there is a hole.
"""

import itertools
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from models.notices import Notice

# Seconds: containers round times to milliseconds, and a packet of speech lasts 20 of them.
ROUNDING = 0.001
TOLERANCE = 0.018
# Timestamps of a live recording may be those of arrival: late for a while, then in step again. A block is
# late only if those of the next seconds are.
LOOKAHEAD = 5.0
# A longer hole is a jump of the clock, not a pause that somebody has recorded. No more silence is made in
# all than this and as much as there is sound.
LONGEST_HOLE = 600.0
# A step back by more is a jump of the clock.
LONGEST_OVERLAP = 1.0
# Clocks of cheap hardware differ by less.
MOST_DRIFT = 0.01
# With fewer blocks in step than this, the times have nothing to do with the sound.
LEAST_IN_STEP = 0.1

# Bytes of one log: more blocks than in four hours of the shortest that speech codecs make.
LOG_BYTES = 2**28
# An AMR frame that holds no speech but the kind of a pause (3GPP TS 26.101, TS 26.201).
PAUSE_BYTES = 7

_TIME_BASE = re.compile(r"^#tb 0: 1/(\d+)$", re.MULTILINE)
_CODEC = re.compile(r"^#codec_id 0: (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Timeline:
    """When the samples of a sound are heard.

    Attributes:
        rate: samples a second, in which the others count.
        edits: (position, silence): so many samples of silence come before the decoded sample at that
            position; if negative, so many decoded samples are left out from there on. Positions ascend.
        length: how many samples there are in all, with the silence.
        jumps: seconds by which the timestamps jump where they were not followed.
        usable: whether the timestamps fit the sound; they were ignored otherwise.
        only_pauses: whether all packets that could not be decoded say that nobody spoke.
    """

    rate: int = 1
    edits: tuple[tuple[int, int], ...] = ()
    length: int = 0
    jumps: tuple[float, ...] = ()
    usable: bool = True
    only_pauses: bool = False

    @property
    def seconds(self) -> Fraction | None:
        """How long the sound is by its own clock; None if that is not known."""
        return Fraction(self.length, self.rate) if self.length else None

    def notices(self) -> Iterator[Notice]:
        """What the user should know about the timestamps."""
        if not self.usable:
            yield Notice.of("audio_times_ignored")
        elif self.jumps:
            longest = max(map(abs, self.jumps))
            yield Notice.of("audio_times_jump", count=len(self.jumps), seconds=longest)

    def laid_out(self, blocks: Iterable[bytes], rate: int, width: int) -> Iterator[bytes]:
        """Decoded samples with silence where it belongs.

        Args:
            blocks: all samples, of any length each.
            rate: samples a second.
            width: bytes of a sample, all channels together; zeros are silence.
        """
        edits = iter(self._edits_at(rate))
        place, silence = next(edits, (None, 0))
        position = leave_out = 0
        for block in _whole(blocks, width):
            while block:
                dropped = min(leave_out, len(block) // width)
                leave_out -= dropped
                position += dropped
                block = block[dropped * width :]
                until = len(block) // width if place is None else max(place - position, 0)
                yield block[: until * width]
                position += min(until, len(block) // width)
                block = block[until * width :]
                if place is not None and position >= place:
                    yield from _zeros(silence * width)
                    leave_out += max(-silence, 0)
                    place, silence = next(edits, (None, 0))
        while place is not None:
            yield from _zeros(silence * width)
            place, silence = next(edits, (None, 0))

    def _edits_at(self, rate: int) -> Iterator[tuple[int, int]]:
        """The edits in samples of another rate; rounding errors do not add up."""
        silence = made = 0
        for position, more in self.edits:
            silence += more
            place = round(Fraction(position * rate, self.rate))
            wanted = round(Fraction((position + silence) * rate, self.rate)) - place
            yield place, wanted - made
            made = wanted


def log_outputs(track: int, blocks: Path, packets: Path) -> list[str]:
    """Outputs of an ffmpeg that decodes an audio track: when its blocks and its packets begin, as text."""
    stream = ["-map", f"0:a:{track}"]
    # Times that jump by more than 30 hours would be missing.
    every_time = ["-dts_error_threshold", "1e18"]
    # In the packets that an output writes, ffmpeg puts times in order.
    decoded = ["-af", "pan=mono|c0=c0", "-stats_enc_pre", f"file:{blocks}"]
    decoded += ["-stats_enc_pre_fmt", "{tb} {pts} {samp}", "-f", "null", "-"]
    copied = ["-c", "copy", "-fs", str(LOG_BYTES), "-f", "framecrc", "-y", f"file:{packets}"]
    return [*every_time, *stream, *decoded, *stream, *copied]


def read_timeline(blocks: Path, packets: Path) -> Timeline:
    """The timeline of a sound from the logs of `log_outputs`; without edits if they are incomplete."""
    try:
        return _Reading(_read_blocks(blocks), _read_packets(packets)).timeline()
    except (ValueError, UserWarning):  # ffmpeg broke off while it wrote them
        return Timeline()


@dataclass(frozen=True)
class _Log:
    """Times and durations in units of 1 / `rate` s, int64 [n] each."""

    rate: int
    times: np.ndarray
    durations: np.ndarray


@dataclass(frozen=True)
class _Packets(_Log):
    """Also sizes in bytes, int64 [n]."""

    codec: str
    sizes: np.ndarray


def _read_blocks(path: Path) -> _Log:
    """Lines of time base, time and duration."""
    rows = _rows(path, delimiter=None, columns=(1, 2))
    with path.open(encoding="ascii") as file:
        time_base = Fraction(file.readline().split()[0])
    return _Log(int(1 / time_base), rows[:, 0], rows[:, 1])


def _read_packets(path: Path) -> _Packets:
    """https://ffmpeg.org/ffmpeg-formats.html#framecrc: some lines about all, then one for each packet."""
    rows = _rows(path, delimiter=",", columns=(2, 3, 4))
    with path.open(encoding="ascii") as file:
        head = "".join(itertools.takewhile(lambda line: line.startswith("#"), file))
    ((rate,), (codec,)) = _TIME_BASE.findall(head), _CODEC.findall(head)
    return _Packets(int(rate), rows[:, 0], rows[:, 1], codec, rows[:, 2])


def _rows(path: Path, delimiter: str | None, columns: tuple[int, ...]) -> np.ndarray:
    """Numbers [n, columns]; the first are times. Raises ValueError without any, or if there are too many."""
    if not 0 < path.stat().st_size < LOG_BYTES:
        raise ValueError("the log is incomplete")
    with path.open(encoding="ascii") as file, warnings.catch_warnings():
        warnings.simplefilter("error")  # for a file without rows
        rows = np.loadtxt(file, np.int64, delimiter=delimiter, usecols=columns, ndmin=2)
    # Sums of times must not overflow.
    rows[:, 0] = rows[:, 0].clip(-(2**61), 2**61)
    return rows


class _Reading:
    """Finds the edits: follows the offset of the timestamps against the samples decoded so far."""

    def __init__(self, blocks: _Log, packets: _Packets):
        self._blocks = blocks
        self._packets = packets
        self._positions = np.cumsum(blocks.durations) - blocks.durations
        self._edits: list[tuple[int, int]] = []
        self._jumps: list[float] = []

    def timeline(self) -> Timeline:
        rate, decoded = self._blocks.rate, int(self._blocks.durations.sum())
        offsets = self._blocks.times - self._positions
        if usable := self._fit(offsets):
            self._follow(self._without_jumps(offsets))
        if usable and not self._jumps and (tail := self._undecoded_end()):
            self._edits.append((decoded, tail))
        length = decoded + sum(silence for _, silence in self._edits)
        return Timeline(
            rate, tuple(self._edits), length, tuple(self._jumps), usable, only_pauses=self._only_pauses()
        )

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._blocks.rate)

    def _without_jumps(self, offsets: np.ndarray) -> np.ndarray:
        steps = np.diff(offsets, prepend=0)
        far = (steps > self._samples(LONGEST_HOLE)) | (steps < -self._samples(LONGEST_OVERLAP))
        self._jumps += (steps[far] / self._blocks.rate).tolist()
        return np.asarray(np.cumsum(np.where(far, 0, steps)))

    def _fit(self, offsets: np.ndarray) -> bool:
        """Whether the times fit the sound, apart from holes."""
        if len(offsets) == 1:
            return True
        steps = np.diff(offsets)
        small = steps[np.abs(steps) <= self._samples(TOLERANCE)]
        if len(small) < LEAST_IN_STEP * len(steps):
            return False
        by_chance = 3 * small.std() * np.sqrt(len(small))
        drift = abs(small.sum()) - by_chance - self._samples(TOLERANCE)
        return bool(drift <= MOST_DRIFT * self._positions[-1])

    def _follow(self, offsets: np.ndarray) -> None:
        """Make silence where the sound is late for longer, leave out what it drifts ahead."""
        tolerance, most = self._tolerance(offsets), self._samples(LONGEST_HOLE)
        window = {"size": self._lookahead(), "origin": -(self._lookahead() // 2), "mode": "nearest"}
        least, greatest = minimum_filter1d(offsets, **window), maximum_filter1d(offsets, **window)
        followed = silence = dropped = 0
        for position, low, high in zip(
            self._positions.tolist(), least.tolist(), greatest.tolist(), strict=True
        ):
            late = max(low - followed, 0) + min(high - followed, 0)
            if abs(late) <= tolerance:
                continue
            if late > 0 and silence + late <= most + position:
                silence += late
            elif late < 0 and dropped - late <= MOST_DRIFT * position:
                dropped -= late
            else:
                self._jumps.append(late / self._blocks.rate)
                followed += late
                continue
            self._edits.append((position, late))
            followed += late

    def _tolerance(self, offsets: np.ndarray) -> int:
        """More where the times tremble."""
        tremor = np.quantile(np.abs(np.diff(offsets, prepend=offsets[0])), 0.25)
        return self._samples(TOLERANCE) + 8 * max(int(tremor) - self._samples(ROUNDING), 0)

    def _lookahead(self) -> int:
        """In blocks."""
        usual = max(int(np.median(self._blocks.durations)), 1)
        return self._samples(LOOKAHEAD) // usual + 1

    def _undecoded_end(self) -> int:
        """Samples of the packets behind the last one that could be decoded; the first may be padding."""
        blocks, packets = self._blocks, self._packets
        end = (blocks.times + blocks.durations).max() / blocks.rate
        after = packets.times / packets.rate >= end - ROUNDING
        missing = float(packets.durations[after].sum()) / packets.rate
        return self._samples(min(missing, LONGEST_HOLE)) if after.sum() > 1 and missing > TOLERANCE else 0

    def _only_pauses(self) -> bool:
        packets = self._packets
        missing = ~np.isin(packets.times, self._blocks.times)
        paused = packets.codec.startswith("amr") and missing.any()
        return bool(paused and packets.sizes[missing].max() <= PAUSE_BYTES)


def _whole(blocks: Iterable[bytes], width: int) -> Iterator[bytes]:
    """The same bytes in blocks of whole samples; what is left at the end is no sample."""
    rest = b""
    for block in blocks:
        block = rest + block
        cut = len(block) // width * width
        rest = block[cut:]
        yield block[:cut]


def _zeros(count: int) -> Iterator[bytes]:
    step = 2**20
    for start in range(0, count, step):
        yield bytes(min(step, count - start))
