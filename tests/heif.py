"""HEIC files: a small one that ships, and what can be done to its boxes (ISO/IEC 23008-12)."""

import struct
from collections.abc import Iterator
from pathlib import Path

# The portrait of tests/fuzz/images.py, 192×192, as an iPhone stores it: lying on its left side, with an
# orientation of 6 in its EXIF, and in Display P3. Made from such a JPEG by `heif-enc -q 45` (libheif 1.15).
SAMPLE = (Path(__file__).parent / "data" / "astronaut.heic").read_bytes()

# What turns it upright; an iPhone writes it beside the EXIF.
QUARTER_TURN = (b"irot", b"\3")  # three times 90 degrees counterclockwise


def box(kind: bytes, data: bytes) -> bytes:
    """A box."""
    return struct.pack(">I", 8 + len(data)) + kind + data


def with_property(file: bytes, kind: bytes, data: bytes) -> bytes:
    """A file like `SAMPLE` whose picture has one more property, essential and applied last."""
    added = box(kind, data)
    end_of_properties = _end(file, b"ipco")
    index = sum(1 for _ in _children(file, b"ipco")) + 1
    end_of_links = _end(file, b"ipma")
    grown = bytearray(
        file[:end_of_properties]
        + added
        + file[end_of_properties:end_of_links]
        + bytes([0x80 | index])
        + file[end_of_links:]
    )
    growth = len(grown) - len(file)
    for outer, more in ((b"meta", growth), (b"iprp", growth), (b"ipco", len(added)), (b"ipma", 1)):
        _add(grown, grown.index(outer) - 4, more)
    links = grown.index(b"ipma") + 4
    grown[links + 10] += 1  # how many properties the first item has
    _move_items(grown, growth)
    return bytes(grown)


def _move_items(file: bytearray, by: int) -> None:
    """Correct where the items' data begin, as version 0 of `iloc` with 4-byte numbers says it."""
    start = file.index(b"iloc") + 4
    (count,) = struct.unpack_from(">H", file, start + 6)
    for item in range(count):
        _add(file, start + 8 + 18 * item + 4, by)


def _add(file: bytearray, offset: int, number: int) -> None:
    (value,) = struct.unpack_from(">I", file, offset)
    struct.pack_into(">I", file, offset, value + number)


def _end(file: bytes, kind: bytes) -> int:
    start = file.index(kind) - 4
    return start + int.from_bytes(file[start : start + 4], "big")


def _children(file: bytes, kind: bytes) -> Iterator[int]:
    position = file.index(kind) + 4
    while position < _end(file, kind):
        yield position
        position += int.from_bytes(file[position : position + 4], "big")
