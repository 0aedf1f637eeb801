"""JPEGs whose last bytes are missing, for example after a transfer that broke off: how much is left."""

import random
import re
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageChops

# Markers (ITU-T T.81, table B.1). In coded data, FF00 stands for the byte FF, and FFD0 to FFD7 are restarts.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # between them: tables, and a reserved one
_LONE = {0x01, _START}  # no length follows

_EOI = b"\xff\xd9"
_BLOCK = 8  # pixels
_COEFFICIENTS = 64  # of a block

# What a decoder takes for more of the coded data.
_NOISE = bytes(byte % 0xFF for byte in random.Random(0).randbytes(2**12))


@dataclass(frozen=True)
class IncompleteJpeg:
    """A JPEG that ends early.

    Attributes:
        content: what there is of it, with the end that decoders need; what is missing becomes grey.
        share: how much of the picture is there, from 0 to 1; 0 if parts of all of it are missing.
    """

    content: bytes
    share: float


def incomplete_jpeg(content: bytes) -> IncompleteJpeg | None:
    """What there is of a JPEG that ends early; None if it does not, or if nothing of its picture is there.

    Args:
        content: any file.
    """
    if not content.startswith(bytes([0xFF, _START])):
        return None
    try:
        file = _read(content)
        share = file.share() if file else 0.0
    except (IndexError, ValueError):  # its headers are damaged too
        return None
    return IncompleteJpeg(file.content + _EOI, share) if file else None


def _read(content: bytes) -> "_File | None":
    """None if the end is there, or no scan."""
    frame, scans, position = b"", [], 0
    while found := _MARKER.search(content, position):
        marker, position = found[1][0], found.end()
        if marker == _END:
            return None
        if marker in _LONE:
            continue
        length = int.from_bytes(content[position : position + 2], "big")
        segment = content[position + 2 : position + length]
        if position + max(length, 2) > len(content):
            content = content[: found.start()]
            break
        if marker in _FRAMES:
            frame = segment
        elif marker == _SCAN:
            scans.append(segment)
        position += length
    return _File(content.rstrip(b"\xff"), frame, tuple(scans)) if frame and scans else None


@dataclass(frozen=True)
class _File:
    """The part of a JPEG before its end.

    Attributes:
        content: up to the end of the coded data.
        frame: the frame header: precision, height, width, and three bytes for each component.
        scans: the header of each scan; the last one may be cut.
    """

    content: bytes
    frame: bytes
    scans: tuple[bytes, ...]

    @property
    def _is_in_last_scan(self) -> bool:
        """Whether the scans say all of every coefficient."""
        missing = {(component, k) for component in self.frame[6::3] for k in range(_COEFFICIENTS)}
        for scan in self.scans:
            components, first, last, precision = _scan(scan)
            if precision & 0x0F == 0:  # to the last bit
                missing -= {(component, k) for component in components for k in range(first, last + 1)}
        return not missing

    @property
    def _rows_at_once(self) -> int:
        """Rows of pixels that the last scan fills from left to right before it goes on to those below."""
        heights = dict(zip(self.frame[6::3], (factors & 0x0F for factors in self.frame[7::3]), strict=True))
        components, *_ = _scan(self.scans[-1])
        of_component = heights.get(components[0], 1) if len(components) == 1 else 1
        return _BLOCK * max(heights.values()) // max(of_component, 1)

    def share(self) -> float:
        """As in `IncompleteJpeg`; of several passes over the picture, only the last may be cut."""
        if not self._is_in_last_scan:
            return 0.0
        return 1 - (1 - self._share_of_last_scan()) / len(self.scans)

    def _share_of_last_scan(self) -> float:
        """How much of the picture, from its top, further data would not change."""
        undecided = ImageChops.difference(
            _decoded(self.content + _EOI), _decoded(self.content + _NOISE + _EOI)
        )
        changed = undecided.getbbox()
        if changed is None:
            return 1.0
        rows = self._rows_at_once
        width, height = undecided.size
        top = (changed[1] + 1) // rows * rows  # interpolated colour reaches one row further up
        left, *_ = undecided.crop((0, top, width, min(top + rows, height))).getbbox() or (0,)
        return (top * width + left * min(rows, height - top)) / (width * height)


def _decoded(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content), formats=("JPEG",))
    image.load()
    return image


def _scan(header: bytes) -> tuple[bytes, int, int, int]:
    """The components, the first and last coefficient, and the bits of a scan."""
    count = header[0]
    first, last, precision = header[1 + 2 * count : 4 + 2 * count]
    return header[1 : 1 + 2 * count : 2], first, last, precision
