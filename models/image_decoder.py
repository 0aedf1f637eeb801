"""The program that decodes an image, alone in a process: python -m models.image_decoder PATH [--pixels]

Prints one line of JSON, `{"width", "height"}` or `{"error"}`, the notice; with `--pixels`, RGB bytes follow.
Hostile files attack decoders; in a process of its own a decoder harms nothing else. `models.image` starts it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import ImageError
from models.params import MAX_IMAGE_MEGAPIXELS

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = MAX_IMAGE_MEGAPIXELS * 10**6

PIXELS = "--pixels"
BYTES_AT_ONCE = 2**22  # bytes per write, so that no second copy of a large image is held
REASON_LENGTH = 200  # characters of what Pillow says


def main(path: str, *options: str) -> None:
    """Decode and print."""
    try:
        image = decode(Path(path), draft=PIXELS not in options)
    except ImageError as error:
        _print_header(error=error.notice.as_json())
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
        draft: decode a JPEG at an eighth of its size, which is enough to see whether it can be decoded.

    Raises:
        ImageError: as `models.image.load_image`.
    """
    if not path.stat().st_size:
        raise ImageError("image_empty")
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_header(image)
            if draft:
                image.draft("RGB", (1, 1))
            return _plain(image)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("image_unreadable") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("image_far_too_large") from error
    except MemoryError as error:
        raise ImageError("image_needs_memory") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        reason = str(error)[:REASON_LENGTH] or type(error).__name__
        raise ImageError("image_damaged", reason=reason) from error


def _rows(image: Image.Image) -> Iterator[Image.Image]:
    height = max(BYTES_AT_ONCE // (3 * image.width), 1)
    for top in range(0, image.height, height):
        yield image.crop((0, top, image.width, min(top + height, image.height)))


def _plain(image: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(image, in_place=True)  # in place: a copy of 64 megapixels would cost memory
    image.load()
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else _eight_bit(image).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white


def _check_header(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        size = {"width": image.width, "height": image.height}
        raise ImageError("image_too_large", **size, megapixels=pixels / 10**6)
    if image.mode in ("I", "F"):
        raise ImageError("image_too_deep")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey, which Pillow would clip instead of scaling, brought to 8 bits; anything else as it is."""
    if not image.mode.startswith("I;16"):
        return image
    return image.convert("I").point([value >> 8 for value in range(2**16)], "L")


def _print_header(**fields: Any) -> None:
    sys.stdout.buffer.write(json.dumps(fields).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
