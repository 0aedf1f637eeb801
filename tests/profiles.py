"""Colour profiles made from scratch (ICC.1:2022), since none that exists may be needed for a test to run."""

import itertools
import struct

# Of the colorant of each channel, relative to the D50 white of profiles.
D50 = (0.9642, 1.0, 0.8249)
SRGB_PRIMARIES = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
P3_PRIMARIES = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_PRIMARIES = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
SRGB_CURVE = (
    2.4,
    1 / 1.055,
    0.055 / 1.055,
    1 / 12.92,
    0.04045,
)  # exponent and the four numbers of a "para" 3


def rgb_profile(primaries: tuple[tuple[float, ...], ...], gamma: float | None = None) -> bytes:
    """A screen with these primaries, and with this exponent or the curve of sRGB."""
    curve = _gamma(gamma) if gamma else b"para" + struct.pack(">IHH", 0, 3, 0) + _fixed(*SRGB_CURVE)
    colorants = {
        name + b"XYZ": _xyz(colour) for name, colour in zip((b"r", b"g", b"b"), primaries, strict=True)
    }
    return profile(b"RGB ", colorants | {name + b"TRC": curve for name in (b"r", b"g", b"b")})


def grey_profile(gamma: float) -> bytes:
    """A grey scale with this exponent."""
    return profile(b"GRAY", {b"kTRC": _gamma(gamma)})


def swapped_inks() -> bytes:
    """A printer that has cyan and magenta the wrong way round: its colours, and so a table of Lab values."""
    table = bytes(
        value
        for cyan, magenta, yellow, black in itertools.product((0, 1), repeat=4)
        for value in _LAB[(1 - magenta) * (1 - black), (1 - cyan) * (1 - black), (1 - yellow) * (1 - black)]
    )
    straight = bytes(range(256))
    unity = _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut = b"mft1" + struct.pack(">I4B", 0, 4, 3, 2, 0) + unity + straight * 4 + table + straight * 3
    return profile(b"CMYK", {b"A2B0": lut}, kind=b"prtr", space=b"Lab ")


def profile(colours: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", space: bytes = b"XYZ ") -> bytes:
    """A profile with these tags besides those that each one has."""
    text = "a test".encode("utf-16-be")
    words = b"mluc" + struct.pack(">III4sII", 0, 1, 12, b"enUS", len(text), 28) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": _xyz(D50), **tags}
    offset, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = offset + len(body)
    head = struct.pack(">I4xI", size, 0x0420_0000) + kind + colours + space
    date, nothing = struct.pack(">6H", 2026, 1, 1, 0, 0, 0), bytes(28)
    return (head + date + b"acsp" + nothing + _fixed(*D50)).ljust(128, b"\0") + table + body


# The corners of the sRGB cube in CIELAB (D50), as bytes of a table: an L* of 100 is 255, an a* of 0 is 128.
_LAB = {
    (0, 0, 0): (0, 128, 128),
    (0, 0, 1): (75, 196, 16),
    (0, 1, 0): (224, 49, 209),
    (0, 1, 1): (231, 77, 113),
    (1, 0, 0): (138, 209, 198),
    (1, 0, 1): (154, 222, 67),
    (1, 1, 0): (249, 112, 221),
    (1, 1, 1): (255, 128, 128),
}


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65_536)) for number in numbers)


def _xyz(colour: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*colour)


def _gamma(exponent: float) -> bytes:
    return b"para" + struct.pack(">IHH", 0, 0, 0) + _fixed(exponent)
