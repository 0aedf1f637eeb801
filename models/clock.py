"""How long a sound lasts by its own clock: in samples of its own rate, before it is resampled.

Resampling rounds to samples of another rate, up or down, which is enough to add a frame to a video.
"""

import re
from fractions import Fraction
from pathlib import Path

# https://ffmpeg.org/ffmpeg-formats.html#framecrc: a header with the time base, then for each block of samples
# stream, decoding time, time, length, size and checksum.
_TIME_BASE = re.compile(r"^#tb 0: (\d+/\d+)$", re.MULTILINE)
_LENGTH = re.compile(r"^0,\s*-?\d+,\s*-?\d+,\s*(\d+),\s*\d+, \w+$", re.MULTILINE)

BLOCK_SAMPLES = 48_000  # in a line


def clock_output(report: Path, stream: str, filters: str) -> list[str]:
    """Arguments of ffmpeg that write down, beside any other output, how long a stream lasts.

    Args:
        report: where to; some kilobytes an hour.
        stream: which one, as in "0:a:0".
        filters: those of the other output, as far as they decide what is heard when.
    """
    counted = f"{filters},asetnsamples=n={BLOCK_SAMPLES}:p=0"
    return ["-map", stream, "-af", counted, "-f", "framecrc", "-y", f"file:{report}"]


def read_clock(report: Path) -> Fraction:
    """The duration in seconds that an ffmpeg wrote down which came to the end."""
    text = report.read_text(encoding="ascii")
    (time_base,) = _TIME_BASE.findall(text)
    # Not the last one's time, which `FROM_ZERO` rounds.
    return sum(map(int, _LENGTH.findall(text))) * Fraction(time_base)
