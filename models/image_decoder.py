"""The program that decodes an image in a separate process: python -m models.image_decoder PATH [--pixels]

Prints one line of JSON, `{"width", "height", "notices"}` or `{"error"}` (a notice); with `--pixels`, RGB
bytes follow. Hostile files attack decoders; in a separate process they harm nothing else. `models.image`
starts it.
"""

import json
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from models.errors import ImageError
from models.notices import Notice
from models.params import MAX_IMAGE_MEGAPIXELS

# Modules that few images need are imported where they are: the process starts for each image.

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
BOX_FORMATS = ("AVIF", "HEIF")  # whose files begin like an MP4
MAX_PIXELS = MAX_IMAGE_MEGAPIXELS * 10**6

# A JPEG whose last bytes are missing is used if this much of its picture is there.
LEAST_SHARE = 0.95

# Of a decoder of video codecs: each takes address space, and machines may have dozens of processors.
THREADS = 2

PIXELS = "--pixels"
BYTES_AT_ONCE = 2**22  # bytes per write, so that no second copy of a large image is held
REASON_LENGTH = 200  # characters of what a decoder says


def main(path: str, *options: str) -> None:
    """Decode and print."""
    try:
        image, notices = decode(Path(path), draft=PIXELS not in options)
    except ImageError as error:
        _print_header(error=error.notice.as_json())
        return
    _print_header(width=image.width, height=image.height, notices=[notice.as_json() for notice in notices])
    if PIXELS in options:
        for rows in _rows(image):
            sys.stdout.buffer.write(rows.tobytes())
    sys.stdout.buffer.flush()


def decode(path: Path, *, draft: bool) -> tuple[Image.Image, list[Notice]]:
    """The first frame, upright, sRGB, transparent parts white, as most viewers show it; and what is amiss.

    Args:
        path: the image, whatever its name.
        draft: decode a JPEG at an eighth of its size, which is enough to see whether it can be decoded.

    Raises:
        ImageError: see `models.image.load_image`.
    """
    if not path.stat().st_size:
        raise ImageError("image_empty")
    try:
        return _decoded(path, draft)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("image_unreadable") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("image_far_too_large") from error
    except MemoryError as error:
        raise ImageError("image_needs_memory") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        reason = " ".join(str(error).split())[:REASON_LENGTH] or type(error).__name__
        raise ImageError("image_damaged", reason=reason) from error


def _decoded(path: Path, draft: bool) -> tuple[Image.Image, list[Notice]]:
    try:
        return _read(path, _formats(path), draft), []
    except OSError:
        from models.incomplete_jpeg import incomplete_jpeg

        rest = incomplete_jpeg(path.read_bytes())
        if rest is None or rest.share < LEAST_SHARE:
            raise
    notice = Notice.of("image_incomplete", percent=100 * rest.share)
    return _read(BytesIO(rest.content), ("JPEG",), draft), [notice]


def _formats(path: Path) -> tuple[str, ...]:
    """Those that the file may have."""
    with path.open("rb") as file:
        beginning = file.read(8)
    if not beginning.endswith(b"ftyp"):
        return FORMATS
    from pi_heif import register_heif_opener
    from PIL import AvifImagePlugin

    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=THREADS)
    AvifImagePlugin.DEFAULT_MAX_THREADS = THREADS
    return BOX_FORMATS


def _read(source: Path | BytesIO, formats: tuple[str, ...], draft: bool) -> Image.Image:
    with Image.open(source, formats=formats) as image:
        _check_header(image)
        if draft:
            image.draft("RGB", (1, 1))
        _load_upright(image)
        _check_header(image)  # libheif may find another size than the header says
        return _plain(image)


def _check_header(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        size = {"width": image.width, "height": image.height}
        raise ImageError("image_too_large", **size, megapixels=pixels / 10**6)
    if image.mode in ("I", "F"):
        raise ImageError("image_too_deep")


def _load_upright(image: Image.Image) -> None:
    """Decode it and turn it as browsers do, in place: a copy of 64 megapixels would cost memory."""
    _forget_xmp(image)
    image._exif = None  # the JPEG plugin has read it already, with the orientation in XMP
    image.load()
    _forget_xmp(image)  # in a PNG it may follow the pixels
    if image.format == "HEIF":  # libheif has turned it, and so must nobody else
        image.info.pop("exif", None)
    ImageOps.exif_transpose(image, in_place=True)


def _forget_xmp(image: Image.Image) -> None:
    """Pillow would turn the image by it, which browsers do not."""
    for name in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(name, None)


def _plain(image: Image.Image) -> Image.Image:
    """RGB from any mode."""
    profile = image.info.get("icc_profile")
    image = _eight_bit(image)
    if not image.has_transparency_data or _is_blank_bmp(image):
        return _srgb(image, profile)
    with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
    clear = ImageChops.invert(with_alpha.getchannel("A"))
    opaque = _srgb(image.convert("L") if image.mode in ("L", "LA") else with_alpha.convert("RGB"), profile)
    opaque.paste("white", mask=clear)
    return opaque


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        from models.colours import to_srgb

        return to_srgb(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey, which Pillow would clip instead of scaling, as 8 bits; any other image unchanged."""
    if not image.mode.startswith("I;16"):
        return image
    values = image.convert("I")
    grey = values.point([value >> 8 for value in range(2**16)], "L")
    clear = image.info.get("transparency")
    if clear is None:
        return grey
    return Image.merge("LA", (grey, values.point([255 * (value != clear) for value in range(2**16)], "L")))


def _is_blank_bmp(image: Image.Image) -> bool:
    """Whether its alpha is 0 everywhere: Windows programs leave it so and mean an opaque image."""
    return image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0)


def _rows(image: Image.Image) -> Iterator[Image.Image]:
    height = max(BYTES_AT_ONCE // (3 * image.width), 1)
    for top in range(0, image.height, height):
        yield image.crop((0, top, image.width, min(top + height, image.height)))


def _print_header(**fields: Any) -> None:
    sys.stdout.buffer.write(json.dumps(fields).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
