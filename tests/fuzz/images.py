"""Hostile images: bombs, lies, ruins, chimeras, and honest ones that merely look odd."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage.data import astronaut

from tests.fuzz.hostile import Expected, HostileFile, cut, flipped
from tests.heif import QUARTER_TURN, SAMPLE, box, grid, with_property
from tests.profiles import P3_PRIMARIES, grey_profile, profile, rgb_profile, swapped_inks

REFUSED, UNFIT, USED, ANY = Expected.REFUSED, Expected.UNFIT, Expected.USED, Expected.ANY

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tiff", "GIF": ".gif"}
# Pillow can write these; the service does not read them.
OTHER_FORMATS = (
    "PPM",
    "TGA",
    "PCX",
    "ICO",
    "JPEG2000",
    "DDS",
    "SGI",
    "PDF",
    "ICNS",
    "EPS",
)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MEGABYTE = 10**6

Case = tuple[str, bytes, Expected]
Kind = Callable[[], Iterator[Case]]


def hostile_images() -> Iterator[HostileFile]:
    """All of them, and some that are merely called something odd."""
    yield from hostile_images_of(*KINDS)
    for suffix in (".wav", ".svg", ".mp4", ".php", ""):
        name = f"mislabelled: a PNG called {suffix or 'nothing'}"
        yield HostileFile(name, "reference_image", saved("PNG"), USED, f"photo{suffix}")


def hostile_images_of(*kinds: Kind) -> Iterator[HostileFile]:
    """Those of some kinds."""
    for kind in kinds:
        for name, content, expected in kind():
            yield HostileFile(f"{kind.__name__}: {name}", "reference_image", content, expected)


def portrait(side: int = 192) -> Image.Image:
    """A face that is found."""
    return Image.fromarray(astronaut()).crop((100, 0, 360, 260)).resize((side, side))


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    """An image, by default the portrait, as a file of this format."""
    file = io.BytesIO()
    (image or portrait()).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of these chunks, whatever they hold."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def zeros(size: int) -> bytes:
    """Compressed nothing: a thousandth of its size."""
    packer = zlib.compressobj(9)
    blocks = [packer.compress(bytes(MEGABYTE)) for _ in range(size // MEGABYTE)]
    return b"".join([*blocks, packer.compress(bytes(size % MEGABYTE)), packer.flush()])


def no_images() -> Iterator[Case]:
    yield "empty", b"", REFUSED
    yield "one byte", b"\x89", REFUSED
    yield "text", b"this is not an image", REFUSED
    yield "zeros", bytes(10_000), REFUSED
    yield "noise", np.random.default_rng(0).bytes(10_000), REFUSED
    yield (
        "SVG with a script",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        REFUSED,
    )
    yield (
        "SVG with an entity",
        b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><svg>&a;</svg>",
        REFUSED,
    )
    yield "ImageMagick script", b"push graphic-context\nimage over 0,0 0,0 'https://127.0.0.1/x'\n", REFUSED
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd)(r) file\n", REFUSED
    yield "ZIP", b"PK\x03\x04" + bytes(100), REFUSED
    yield "ELF", b"\x7fELF" + bytes(100), REFUSED
    yield "WAV", b"RIFF\x24\0\0\0WAVEfmt " + bytes(100), REFUSED
    for kind in OTHER_FORMATS:
        yield kind, saved(kind, portrait(64)), REFUSED
    for kind in SUFFIXES:
        yield f"the first 12 bytes of a {kind}", saved(kind)[:12], REFUSED


def ruins() -> Iterator[Case]:
    for kind in SUFFIXES:
        whole = saved(kind)
        for name, content in cut(whole, 0.1, 0.3, 0.5, 0.9):
            yield f"{kind} {name}", content, REFUSED
        for seed in range(5):
            yield f"{kind} with changed bytes, {seed}", flipped(whole, seed), ANY


def headers() -> Iterator[Case]:
    """Sizes that are not so."""
    for width, height in ((0, 1), (1, 0), (8001, 8000), (60_000, 60_000), (2**31 - 1, 2**31 - 1), (64, 64)):
        yield f"PNG says {width}×{height}", png(width, height, chunk(b"IDAT", zlib.compress(b""))), REFUSED
    for width, height in ((0xFFFF, 0xFFFF), (0, 0)):
        size = struct.pack("<HH", width, height)
        yield f"GIF says {width}×{height}", b"GIF89a" + size + saved("GIF")[10:], ANY
        frame_header = struct.pack(">HH", width, height)
        yield f"JPEG says {width}×{height}", _resized_jpeg(frame_header), REFUSED
    for width, height in ((2**31 - 1, 2**31 - 1), (-192, 192), (0, 0), (192, -(2**31))):
        content = bytearray(saved("BMP"))
        content[18:26] = struct.pack("<ii", width, height)
        yield f"BMP says {width}×{height}", bytes(content), REFUSED
    yield "WebP says 16384×16384", _resized_webp(16383, 16383), REFUSED


def _resized_jpeg(size: bytes) -> bytes:
    content = bytearray(saved("JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = size
    return bytes(content)


def _resized_webp(width: int, height: int) -> bytes:
    content = bytearray(saved("WEBP", lossless=True))
    start = content.index(b"VP8L") + 9
    content[start : start + 4] = struct.pack("<I", width | height << 14)
    return bytes(content)


def png_chunks() -> Iterator[Case]:
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * (64 * (64 * 3 + 1))))
    profile = b"x\0\0"
    yield (
        "64 megapixels in 60 KB",
        png(8000, 8000, chunk(b"IDAT", zeros(8000 * 1001)), depth=1, colour=0),
        UNFIT,
    )
    yield "192 MB in 190 KB", png(8000, 8000, chunk(b"IDAT", zeros(8000 * 24_001))), UNFIT
    yield "more pixels than it says", png(64, 64, chunk(b"IDAT", zeros(100 * MEGABYTE))), ANY
    yield "text of 100 MB", png(64, 64, chunk(b"zTXt", b"x\0\0" + zeros(100 * MEGABYTE)), pixels), REFUSED
    yield (
        "text of 100 MB, international",
        png(64, 64, chunk(b"iTXt", b"x\0\1\0\0\0" + zeros(100 * MEGABYTE)), pixels),
        REFUSED,
    )
    many = chunk(b"zTXt", b"x\0\0" + zeros(MEGABYTE)) * 100
    yield "a hundred texts of 1 MB", png(64, 64, many, pixels), REFUSED
    yield (
        "colour profile of 100 MB",
        png(64, 64, chunk(b"iCCP", profile + zeros(100 * MEGABYTE)), pixels),
        REFUSED,
    )
    yield "a broken colour profile", png(64, 64, chunk(b"iCCP", profile + b"no zlib"), pixels), ANY
    yield "a hundred thousand empty chunks", png(64, 64, chunk(b"teSt", b"") * 100_000, pixels), UNFIT
    yield (
        "a chunk that says it has 2 GB",
        png(64, 64)[:33] + struct.pack(">I", 2**31 - 1) + b"IDATxx",
        REFUSED,
    )
    yield "a wrong checksum", saved("PNG")[:29] + b"\0\0\0\0" + saved("PNG")[33:], REFUSED
    yield "no pixels", png(64, 64), REFUSED
    yield "a palette it does not have", png(64, 64, pixels, colour=3), ANY
    yield "a depth that does not exist", png(64, 64, pixels, depth=3), REFUSED
    yield "EXIF that is noise", _with_exif(np.random.default_rng(1).bytes(500)), ANY
    yield "EXIF that goes round", _with_exif(b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\x08\0\0\0"), USED
    yield "EXIF with 65,535 tags", _with_exif(b"II*\0\x08\0\0\0\xff\xff" + bytes(100)), ANY
    yield "an orientation of 99", _with_exif(b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63\0\0\0\0\0\0\0"), USED
    yield (
        "an orientation of 65,535 values",
        _with_exif(b"II*\0\x08\0\0\0\1\0\x12\1\3\0\xff\xff\0\0\x08\0\0\0"),
        ANY,
    )


def _with_exif(exif: bytes) -> bytes:
    whole = saved("PNG")
    return whole[:33] + chunk(b"eXIf", exif) + whole[33:]


def jpegs() -> Iterator[Case]:
    whole = saved("JPEG")
    scans = saved("JPEG", Image.new("L", (8000, 8000)), progressive=True)
    last_scan = scans[scans.rindex(b"\xff\xda") : -2]
    yield "scans repeated to keep the processor busy", scans[:-2] + last_scan * 5000, REFUSED
    yield "64 megapixels, progressive", scans, UNFIT
    yield "ten thousand comments", whole[:2] + b"\xff\xfe\0\4xx" * 10_000 + whole[2:], USED
    yield "a comment longer than the file", whole[:2] + b"\xff\xfe\xff\xff" + whole[2:], REFUSED
    profile = b"\xff\xe2\xff\xffICC_PROFILE\0\1\xff" + bytes(65_519)
    yield "a profile of 255 parts", whole[:2] + profile * 255 + whole[2:], ANY
    yield "a start without an end", whole[:2], REFUSED
    yield "starts only", b"\xff\xd8" * 5000, REFUSED
    yield "no tables", whole.replace(b"\xff\xdb", b"\xff\xfe").replace(b"\xff\xc4", b"\xff\xfe"), REFUSED
    yield "arithmetic coding that is none", whole.replace(b"\xff\xc0", b"\xff\xc9"), ANY
    yield "lossless coding that is none", whole.replace(b"\xff\xc0", b"\xff\xc3"), REFUSED
    yield "CMYK", saved("JPEG", portrait().convert("CMYK")), USED
    yield "a second picture behind it", whole + whole, USED


def _tiff(
    width: int, height: int, *tags: tuple[int, int, int, int], data: bytes = b"", following: int = 0
) -> bytes:
    """A TIFF whose one directory has these tags (number, type, count, value) besides its size."""
    entries = sorted([(256, 4, 1, width), (257, 4, 1, height), *tags])
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + directory + struct.pack("<I", following) + data


def tiffs() -> Iterator[Case]:
    grey = ((258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1))
    strip = ((273, 4, 1, 200), (278, 4, 1, 64), (279, 4, 1, 4096))
    deflated = ((259, 3, 1, 8), *grey)
    tiled = ((322, 4, 1, 2**20), (323, 4, 1, 2**12), (324, 4, 1, 200), (325, 4, 1, 4096))
    yield "pixels beyond its end", _tiff(64, 64, (259, 3, 1, 1), *grey, *strip), REFUSED
    yield "tiles of 4 gigapixels", _tiff(64, 64, *deflated, *tiled, data=zeros(MEGABYTE)), REFUSED
    yield "a bomb of one strip", _tiff(64, 64, *deflated, *strip, data=bytes(64) + zeros(100 * MEGABYTE)), ANY
    yield (
        "2³¹ strips",
        _tiff(64, 64, *deflated, (273, 4, 2**31, 8), (278, 4, 1, 1), (279, 4, 2**31, 8)),
        REFUSED,
    )
    yield "4 gigapixels", _tiff(65_536, 65_536, *deflated, *strip), REFUSED
    yield "no pixels at all", _tiff(0, 0, *deflated, *strip), REFUSED
    yield "directories in a circle", _tiff(64, 64, *deflated, *strip, following=8), REFUSED
    yield "a compression that does not exist", _tiff(64, 64, (259, 3, 1, 9999), *grey, *strip), REFUSED
    yield (
        "a JPEG inside that is none",
        _tiff(64, 64, (259, 3, 1, 7), *grey, *strip, data=bytes(5000)),
        REFUSED,
    )
    yield (
        "255 samples a pixel",
        _tiff(64, 64, (259, 3, 1, 1), (262, 3, 1, 2), (277, 3, 1, 255), *strip),
        REFUSED,
    )
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        whole = saved("TIFF", compression=compression)
        yield f"{compression}", whole, USED
        yield f"{compression} with changed bytes", flipped(whole, 7), ANY
    for name, value in (("not a number", np.nan), ("infinity", np.inf)):
        yield (
            f"floats that are {name}",
            saved("TIFF", Image.fromarray(np.full((64, 64), value, "f4"))),
            REFUSED,
        )
    yield "pages", saved("TIFF", save_all=True, append_images=[portrait(64)] * 20), USED


def gifs() -> Iterator[Case]:
    whole = saved("GIF")
    yield "no frame", whole[:6] + struct.pack("<HHBBB", 64, 64, 0, 0, 0) + b";", REFUSED
    frame = b"," + struct.pack("<HHHHB", 0, 0, 0xFFFF, 0xFFFF, 0) + b"\x08\0;"
    yield "a frame larger than the picture", whole[:6] + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + frame, REFUSED
    yield (
        "ten thousand frames",
        saved(
            "GIF",
            save_all=True,
            append_images=[Image.new("P", (1, 1), number % 256) for number in range(10_000)],
        ),
        USED,
    )
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * 4000 + b"\0"
    yield "a comment of 1 MB", whole[:-1] + comment + b";", USED
    yield "a comment of 1 MB in front", whole[:13] + whole[13:781] + comment + whole[781:], ANY
    yield (
        "a code size of 255",
        whole[:6] + struct.pack("<HHBBB", 64, 64, 0, 0, 0) + frame[:10] + b"\xff\1x\0;",
        REFUSED,
    )
    yield "a moving portrait", saved("GIF", save_all=True, append_images=[Image.new("P", (192, 192))]), USED


def bmps() -> Iterator[Case]:
    whole = bytearray(saved("BMP"))

    def with_field(offset: int, form: str, value: int) -> bytes:
        content = bytearray(whole)
        struct.pack_into(form, content, offset, value)
        return bytes(content)

    yield "upside down", with_field(22, "<i", -192), USED
    yield "pixels beyond its end", with_field(10, "<I", 2**31), REFUSED
    yield "three bits a pixel", with_field(28, "<H", 3), REFUSED
    yield "a compression that does not exist", with_field(30, "<I", 77), REFUSED
    yield "2³² colours", with_field(46, "<I", 2**32 - 1), ANY
    yield "a header of 2 GB", with_field(14, "<I", 2**31 - 1), REFUSED
    palette = saved("BMP", portrait().convert("P"))
    run_length = bytearray(palette[:1078] + b"\xff\0" * 100)
    struct.pack_into("<I", run_length, 30, 1)
    yield "runs that never fill it", bytes(run_length), ANY
    struct.pack_into("<ii", run_length, 18, 8000, 8000)
    yield "runs that stand for 64 megapixels", bytes(run_length), ANY


def webps() -> Iterator[Case]:
    whole = saved("WEBP")
    moving = saved("WEBP", save_all=True, append_images=[Image.new("RGB", (192, 192))], lossless=True)
    yield "a length of 4 GB", whole[:4] + b"\xff\xff\xff\xff" + whole[8:], ANY
    yield "a length of 0", whole[:4] + bytes(4) + whole[8:], REFUSED
    yield "moving", moving, USED
    yield "a canvas larger than its frames", moving[:24] + b"\xff\xff\0\xff\xff\0" + moving[30:], REFUSED
    yield "moving with changed bytes", flipped(moving, 3), ANY
    yield "moving, cut short", moving[: len(moving) // 2], ANY
    yield (
        "lossless, 64 megapixels",
        saved("WEBP", Image.new("L", (8000, 8000)), lossless=True, method=0),
        UNFIT,
    )


def heifs() -> Iterator[Case]:
    upright = with_property(SAMPLE, *QUARTER_TURN)
    yield "as an iPhone makes it", upright, USED
    yield "lying, with an EXIF that says so in vain", SAMPLE, USED
    yield from _in_boxes("HEIC", upright)
    for item in (0, 2, 0xFFFF):
        yield f"the picture is item {item}", _with_field(upright, b"pitm", 8, ">H", item), REFUSED
    yield "four pictures in one", grid(2, 384), USED
    yield "a thousand pictures that are one, 35 megapixels in 46 KB", grid(31, 31 * 192), USED
    yield "ten thousand pictures that are one, 368 megapixels", grid(100, 100 * 192), REFUSED
    yield "a picture that is part of itself", grid(2, 384, of_itself=True), REFUSED
    yield "parts that do not cover the whole", grid(2, 8000), REFUSED
    yield "parts larger than the whole", grid(3, 100), UNFIT
    turned = SAMPLE
    for _ in range(100):
        turned = with_property(turned, *QUARTER_TURN)
    yield "a hundred quarter turns", turned, ANY
    far = struct.pack(">8I", 2**31 - 1, 1, 2**31 - 1, 1, 2**31 - 1, 1, 2**31 - 1, 1)
    yield "cut out far outside", with_property(upright, b"clap", far), ANY
    yield "cut out of nothing", with_property(upright, b"clap", bytes(32)), ANY
    yield "a codec that does not exist", upright.replace(b"hvc1", b"xxxx"), REFUSED
    yield "a codec without its settings", upright.replace(b"hvcC", b"xxxx"), REFUSED
    noise = np.random.default_rng(3).bytes(len(SAMPLE) // 2)
    yield "noise for a picture", upright[: -len(noise)] + noise, ANY


def avifs() -> Iterator[Case]:
    whole = saved("AVIF")
    yield "an AVIF", whole, USED
    yield from _in_boxes("AVIF", whole)
    yield "moving", saved("AVIF", save_all=True, append_images=[Image.new("RGB", (192, 192))] * 3), USED
    yield "64 megapixels in a few KB", saved("AVIF", Image.new("L", (8000, 8000)), speed=10), UNFIT
    yield "65 megapixels", saved("AVIF", Image.new("L", (8200, 8000)), speed=10), REFUSED
    yield "grey with transparency", saved("AVIF", portrait().convert("LA")), USED
    yield "a codec that does not exist", whole.replace(b"av01", b"xxxx"), REFUSED


def _in_boxes(kind: str, whole: bytes) -> Iterator[Case]:
    """What can be done to both."""
    brand = whole[8:12]
    for other in (b"avif", b"avis", b"heic", b"hevc", b"mif1", b"mp42", b"qt  ", b"\0\0\0\0"):
        if other != brand:
            yield f"calls itself {other.decode()!r}", whole[:8] + other + whole[12:], ANY
    for name, content in cut(whole, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99):
        yield name, content, REFUSED
    for seed in range(5):
        yield f"changed bytes, {seed}", flipped(whole, seed), ANY
        yield f"changed bytes in its boxes, {seed}", flipped(whole[:400], seed, 4) + whole[400:], ANY
    for size in ((8001, 8000), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (0, 0)):
        says = _with_field(_with_field(whole, b"ispe", 8, ">I", size[0]), b"ispe", 12, ">I", size[1])
        yield f"says {size[0]}×{size[1]}", says, REFUSED
    for size in ((1, 1), (8000, 8000)):
        says = _with_field(_with_field(whole, b"ispe", 8, ">I", size[0]), b"ispe", 12, ">I", size[1])
        yield f"says {size[0]}×{size[1]}", says, ANY
    for inner in (b"meta", b"iprp", b"ipco", b"iloc", b"iinf", b"ipma", b"ispe", b"mdat"):
        for length in (0, 1, 9, 2**32 - 1):
            yield f"{inner.decode()} is {length} long", _with_field(whole, inner, -4, ">I", length), ANY
    for inner in (b"iloc", b"iinf", b"ipma"):
        yield (
            f"{inner.decode()} has as many entries as can be",
            _with_field(whole, inner, 8, ">I", 2**32 - 1),
            ANY,
        )
    first = struct.unpack(">I", whole[:4])[0]
    front, rest = whole[:first], whole[first:]
    yield "nothing but its kind", front, REFUSED
    yield "a hundred thousand empty boxes", front + box(b"free", b"") * 100_000 + rest, ANY
    yield "10 MB of nothing in front", front + box(b"free", bytes(10 * MEGABYTE)) + rest, ANY
    nested = b""
    for _ in range(1000):
        nested = box(b"meta", bytes(4) + nested)
    yield "boxes in boxes", front + nested, REFUSED
    yield "a length of 2⁶³", front + struct.pack(">I4sQ", 1, b"free", 2**63) + rest, ANY
    yield f"{kind} and page", whole + b"<html><script>alert(1)</script></html>", USED


def _with_field(file: bytes, kind: bytes, offset: int, form: str, value: int) -> bytes:
    """A number in a box, counted from behind its name, replaced."""
    content = bytearray(file)
    struct.pack_into(form, content, file.index(kind) + offset, value)
    return bytes(content)


def profiles() -> Iterator[Case]:
    """Colour profiles in images that are in order: ignored if they make no sense."""
    good = rgb_profile(P3_PRIMARIES)
    yield "a good one", saved("PNG", icc_profile=good), USED
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        yield f"{kind}, noise", saved(kind, icc_profile=np.random.default_rng(2).bytes(5000)), USED
    for name, content in cut(good, 0.05, 0.3, 0.6, 0.95):
        yield name, saved("PNG", icc_profile=content), USED
    for seed in range(10):
        yield f"changed bytes, {seed}", saved("PNG", icc_profile=flipped(good, seed, 10)), ANY
    yield "16 MB in a JPEG", saved("JPEG", icc_profile=good.ljust(16 * MEGABYTE, b"\0")), USED
    yield "16 MB in a TIFF", saved("TIFF", icc_profile=good.ljust(16 * MEGABYTE, b"\0")), USED
    yield "16 MB in a WebP", saved("WEBP", icc_profile=good.ljust(16 * MEGABYTE, b"\0")), USED
    yield "of grey", saved("PNG", icc_profile=grey_profile(2.2)), USED
    yield "of inks", saved("PNG", icc_profile=swapped_inks()), USED
    yield "of inks, for inks", saved("JPEG", portrait().convert("CMYK"), icc_profile=swapped_inks()), ANY
    many = struct.pack(">I", 2**32 - 1)
    yield "as many tags as can be", saved("PNG", icc_profile=good[:128] + many + good[132:]), USED
    for name, offset, size in (
        ("beyond its end", 2**31, 100),
        ("as long as can be", 128, 2**32 - 1),
        ("itself", 0, 9999),
    ):
        tag = struct.pack(">4sII", b"rTRC", offset, size)
        at = good.index(b"rTRC")
        yield f"a tag that is {name}", saved("PNG", icc_profile=good[:at] + tag + good[at + 12 :]), ANY
    for name, tag in _curves():
        yield f"a curve of {name}", saved("PNG", icc_profile=_with_curve(tag)), ANY
    for name, lut in _tables():
        yield (
            f"a table of {name}",
            saved("PNG", icc_profile=profile(b"RGB ", {b"A2B0": lut}, space=b"Lab ")),
            ANY,
        )
    yield "one without light", saved("PNG", icc_profile=rgb_profile(((0.0, 0.0, 0.0),) * 3)), ANY


def _with_curve(curve: bytes) -> bytes:
    colorant = b"XYZ " + struct.pack(">I3i", 0, 20_000, 20_000, 20_000)
    tags = {name + b"XYZ": colorant for name in (b"r", b"g", b"b")}
    return profile(b"RGB ", tags | {name + b"TRC": curve for name in (b"r", b"g", b"b")})


def _curves() -> Iterator[tuple[str, bytes]]:
    yield "2³² values", b"curv" + struct.pack(">II", 0, 2**32 - 1)
    yield "a million values", b"curv" + struct.pack(">II", 0, MEGABYTE // 4) + bytes(MEGABYTE // 2)
    yield "an unknown kind", b"para" + struct.pack(">IHH", 0, 99, 0)
    yield "an endless exponent", b"para" + struct.pack(">IHHI", 0, 0, 0, 2**31 - 1)
    yield "a negative exponent", b"para" + struct.pack(">IHHI", 0, 0, 0, 2**32 - 70_000)
    yield "a division by zero", b"para" + struct.pack(">IHH7i", 0, 4, 0, 65_536, 0, 0, 0, 0, 0, 0)


def _tables() -> Iterator[tuple[str, bytes]]:
    straight = bytes(range(256))
    unity = struct.pack(">9i", 65_536, 0, 0, 0, 65_536, 0, 0, 0, 65_536)
    for inputs, outputs, points in ((3, 3, 255), (15, 15, 255), (255, 255, 255), (0, 0, 0), (3, 3, 1)):
        head = b"mft1" + struct.pack(">I4B", 0, inputs, outputs, points, 0)
        yield f"{points} points in {inputs} dimensions", head + unity + straight * 6
    yield "two billion steps", b"mpet" + struct.pack(">IHHI", 0, 3, 3, 2**31 - 1) + bytes(1000)
    steps = struct.pack(">II", 16, 100) * 1000
    yield "a thousand steps that are one", b"mpet" + struct.pack(">IHHI", 0, 3, 3, 1000) + steps
    yield (
        "curves that are the table itself",
        b"mAB " + struct.pack(">IBBH5I", 0, 3, 3, 0, *[0] * 5) + bytes(99),
    )


def chimeras() -> Iterator[Case]:
    """Files that are two things; what they are besides an image matters to nobody."""
    archive = b"PK\x05\x06" + bytes(18)
    for kind in SUFFIXES:
        yield f"{kind} and ZIP", saved(kind) + archive, USED
    page = b"<html><script>alert(1)</script></html>"
    yield "PNG and page", saved("PNG") + page, USED
    whole = saved("JPEG")
    yield "JPEG with a page for a comment", whole[:2] + b"\xff\xfe\0\x28" + page + whole[2:], USED
    yield "GIF and script", b"GIF89a/*" + saved("GIF")[8:] + b"*/=1;alert(1)", ANY
    yield "PDF and JPEG", b"%PDF-1.7\n" + whole, REFUSED
    yield "WAV and PNG", b"RIFF\x24\0\0\0WAVEfmt " + saved("PNG"), REFUSED
    yield "script and PNG", b"#!/bin/sh\n" + saved("PNG"), REFUSED


def odd() -> Iterator[Case]:
    """Honest, if unusual."""
    for size in ((1, 1), (1, 60_000), (60_000, 1), (2, 3), (3, 20_000_000), (64_000_000, 1)):
        yield f"{size[0]}×{size[1]} pixels", saved("PNG", Image.new("L", size)), UNFIT
    grey = np.asarray(portrait().convert("L")).astype(np.uint16) * 257
    yield "16-bit grey", saved("PNG", Image.fromarray(grey)), USED
    yield "32-bit grey", saved("TIFF", Image.fromarray(grey.astype(np.int32))), REFUSED
    yield "all transparent", saved("PNG", Image.new("RGBA", (64, 64))), UNFIT
    yield "grey with transparency", saved("PNG", portrait().convert("LA")), USED
    yield "one bit", saved("PNG", Image.new("1", (64, 64))), UNFIT
    yield (
        "palette with transparency",
        saved("PNG", portrait().quantize(64), transparency=bytes(range(64))),
        ANY,
    )
    yield "Lab", saved("TIFF", Image.new("LAB", (64, 64))), ANY
    yield "moving PNG", saved("PNG", save_all=True, append_images=[Image.new("RGB", (192, 192))]), USED
    yield (
        "moving PNG that starts with its second picture",
        saved("PNG", save_all=True, default_image=True, append_images=[Image.new("RGB", (192, 192))] * 2),
        USED,
    )
    notes = PngInfo()
    notes.add_text("comment", "\u202egnp.exe\0\x1b[31m", zip=True)
    yield "text that turns the terminal red", saved("PNG", pnginfo=notes), USED


KINDS = (
    no_images,
    ruins,
    headers,
    png_chunks,
    jpegs,
    tiffs,
    gifs,
    bmps,
    webps,
    heifs,
    avifs,
    profiles,
    chimeras,
    odd,
)
