"""The program that decodes an image, alone in a process: python -m models.image_decoder PATH [--pixels]

Prints one line of JSON, `{"width", "height"}` or `{"error", "allowed"}`; with `--pixels`, RGB bytes follow.
Decoders are where hostile files do their harm; here they harm nobody else. `models.image` starts it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
ALLOWED = "JPEG, PNG, WebP, BMP, TIFF or GIF, at most 64 megapixels"
MAX_PIXELS = 64_000_000

PIXELS = "--pixels"
BYTES_AT_ONCE = 2**22  # written, so that no second copy of a large image is held
REASON_LENGTH = 200  # characters of what Pillow says


def main(path: str, *options: str) -> None:
    """Decode and print."""
    try:
        image = decode(Path(path), draft=PIXELS not in options)
    except ImageError as error:
        _print_header(error=error.message, allowed=error.allowed)
        return
    _print_header(width=image.width, height=image.height)
    if PIXELS in options:
        for rows in _rows(image):
            sys.stdout.buffer.write(rows.tobytes())
    sys.stdout.buffer.flush()


def decode(path: Path, *, draft: bool) -> Image.Image:
    """The first frame, upright, RGB; transparent parts become white, as most viewers show them.

    Args:
        path: the image, whatever its name.
        draft: decode a JPEG at an eighth of its size, enough to see that it can be.

    Raises:
        ImageError: as `models.image.load_image`.
    """
    if not path.stat().st_size:
        raise ImageError("the reference image is an empty file", allowed=ALLOWED)
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_header(image)
            if draft:
                image.draft("RGB", (1, 1))
            return _plain(image)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("the reference image is not an image that can be read", allowed=ALLOWED) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        message = f"the reference image is too large: over {MAX_PIXELS / 1e6:.0f} megapixels"
        raise ImageError(message, allowed=ALLOWED) from error
    except MemoryError as error:
        raise ImageError("the reference image takes too much memory to decode", allowed=ALLOWED) from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        reason = str(error)[:REASON_LENGTH] or type(error).__name__
        raise ImageError(f"the reference image is damaged: {reason}", allowed=ALLOWED) from error


def _rows(image: Image.Image) -> Iterator[Image.Image]:
    height = max(BYTES_AT_ONCE // (3 * image.width), 1)
    for top in range(0, image.height, height):
        yield image.crop((0, top, image.width, min(top + height, image.height)))


def _plain(image: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(image, in_place=True)  # and no copy where it is upright: 64 megapixels count
    image.load()
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else _eight_bit(image).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white


def _check_header(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width}×{image.height} pixels, {image.width * image.height / 1e6:.0f} megapixels"
        raise ImageError(f"the reference image is too large: {size}", allowed=ALLOWED)
    if image.mode in ("I", "F"):
        message = "the reference image has 32 bits a channel; save it with 8"
        raise ImageError(message, allowed="8 or 16 bits a channel")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey, which Pillow would clip instead of scaling, brought to 8 bits; anything else as it is."""
    if not image.mode.startswith("I;16"):
        return image
    return image.convert("I").point([value >> 8 for value in range(2**16)], "L")


def _print_header(**fields: str | int | None) -> None:
    sys.stdout.buffer.write(json.dumps(fields).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
