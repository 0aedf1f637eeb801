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


def grid(tiles: int, side: int, *, of_itself: bool = False) -> bytes:
    """A file whose picture is a square of `tiles` × `tiles` pictures, each of which has the same data.

    Args:
        tiles: in a row and in a column.
        side: of the whole, in pixels, as the file says.
        of_itself: the last of them is the whole.
    """
    data, count = _coded_picture(), tiles**2
    items, whole = range(1, count + 1), count + 1
    description = struct.pack(">BBBBHH", 0, 0, tiles - 1, tiles - 1, side, side)
    sizes = [box(b"ispe", struct.pack(">4xII", length, length)) for length in (192, side)]
    properties = box(b"ipco", _copy(b"hvcC") + b"".join(sizes))
    links = b"".join(struct.pack(">HBBB", item, 2, 0x81, 0x02) for item in items)
    links += struct.pack(">HBB", whole, 1, 0x03)
    kinds = [*((item, b"hvc1") for item in items), (whole, b"grid")]
    names = b"".join(box(b"infe", struct.pack(">IHH4sx", 2 << 24, item, 0, kind)) for item, kind in kinds)
    parts = [*items[:-1], whole if of_itself else count]

    def meta(offset: int) -> bytes:
        places = b"".join(struct.pack(">HHHHII", item, 0, 0, 1, offset, len(data)) for item in items)
        places += struct.pack(">HHHHII", whole, 1, 0, 1, 0, len(description))
        return box(
            b"meta",
            bytes(4)
            + box(b"hdlr", bytes(8) + b"pict" + bytes(13))
            + box(b"pitm", struct.pack(">4xH", whole))
            + box(b"iloc", struct.pack(">IHH", 1 << 24, 0x4400, count + 1) + places)
            + box(b"iinf", struct.pack(">4xH", count + 1) + names)
            + box(b"iref", bytes(4) + box(b"dimg", struct.pack(f">HH{count}H", whole, count, *parts)))
            + box(b"iprp", properties + box(b"ipma", struct.pack(">4xI", count + 1) + links))
            + box(b"idat", description),
        )

    kind = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    return kind + meta(len(kind) + len(meta(0)) + 8) + box(b"mdat", data)


def _coded_picture() -> bytes:
    """The data of `SAMPLE`'s first item, found like in `_move_items`."""
    start = SAMPLE.index(b"iloc") + 12
    base, _, offset, length = struct.unpack_from(">IHII", SAMPLE, start + 4)
    return SAMPLE[base + offset : base + offset + length]


def _copy(kind: bytes) -> bytes:
    return SAMPLE[SAMPLE.index(kind) - 4 : _end(SAMPLE, kind)]
