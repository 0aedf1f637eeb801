"""Frames per second, whole or not, and how many frames a sound needs. Knows nothing of files or requests."""

import math
import re
from fractions import Fraction

# A whole rate is always an int.
FrameRate = int | Fraction

# NTSC video runs 1001/1000 slower than its name says (SMPTE ST 170): 24 is 23.976…, 30 is 29.97…
NTSC = tuple(Fraction(1000 * nominal, 1001) for nominal in (24, 30, 48, 60))
# They are written with two decimals or more.
NTSC_AS_WRITTEN = Fraction(5, 1000)

# Any other rate is one of these fractions, so that a rate that was computed in floating point is found again.
MOST_DENOMINATOR = 1001

# Encoders and editors leave some samples too many; what is shorter cannot be heard by itself.
EXCESS = Fraction(1, 1000)  # seconds

_RATE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,30}|/[0-9]{1,9})?", re.ASCII)


def parse_frame_rate(text: str) -> FrameRate:
    """Read a rate as people write it: "24", "23.976" and "24000/1001" (which are the same), "12.5" or "25/2".

    Raises:
        ValueError: it is neither a decimal number nor a fraction of two whole numbers.
    """
    written = text.strip()
    try:
        if _RATE.fullmatch(written):
            return _exact(Fraction(written))
    except ZeroDivisionError:
        pass
    raise ValueError("should be a number or a fraction of two whole numbers")


def as_number(rate: FrameRate) -> int | float:
    """The rate for JSON and for people: a whole number, or one with three decimals at most."""
    return rate if isinstance(rate, int) else round(float(rate), 3)


def frames_covering(seconds: Fraction, fps: FrameRate) -> int:
    """How many frames a sound needs to be seen to its end; less than `EXCESS` makes no frame of its own."""
    return math.floor((seconds - EXCESS) * fps) + 1


def _exact(written: Fraction) -> FrameRate:
    nearest = min(NTSC, key=lambda rate: abs(rate - written))
    if abs(nearest - written) <= NTSC_AS_WRITTEN:
        return nearest
    rate = written.limit_denominator(MOST_DENOMINATOR)
    return int(rate) if rate.denominator == 1 else rate
