"""From the bytes of an image to its pixels, decoded in a process with limits (`models.image_decoder`)."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

from PIL import Image

from models.bounds import Bounds, bounded
from models.errors import ImageError
from models.image_decoder import MAX_PIXELS, PIXELS
from models.notices import Notice

# Measured: of the images that are accepted, 64 megapixels of animated WebP with transparency need the most
# memory, 1.3 GiB, and a PNG takes the longest, 3.3 s.
# Colour profiles, HEIC and AVIF stay below both.
BOUNDS = Bounds(memory=2 * 2**30, cpu_seconds=20, seconds=60)

_ROOT = Path(__file__).parent.parent
_HEADER_BYTES = 4096


def check_image(path: Path) -> None:
    """Refuse an image that `load_image` could not read.

    Raises:
        ImageError: see `load_image`.
    """
    _decode(path)


@dataclass(frozen=True)
class Photo:
    """A decoded image.

    Attributes:
        image: its first frame, upright, RGB with the colours of sRGB; transparent parts are white.
        notices: what the user should know about how it was read.
    """

    image: Image.Image
    notices: tuple[Notice, ...]


def load_image(path: Path) -> Photo:
    """Decode an image.

    Raises:
        ImageError: it is empty, not one of the decoder's formats by its content, over `MAX_PIXELS` (by its
            header, before anything is decoded), damaged, or has more than 16 bits per channel; or decoding it
            exceeds `BOUNDS`.
    """
    header, pixels = _decode(path, PIXELS)
    return Photo(Image.frombytes("RGB", header.size, pixels), header.notices)


@dataclass(frozen=True)
class _Header:
    """What the decoder reports before the pixels."""

    size: tuple[int, int]
    notices: tuple[Notice, ...]


def _decode(path: Path, *options: str) -> tuple[_Header, bytes]:
    """What the decoder reports and, if requested, the pixels."""
    command = [sys.executable, "-m", "models.image_decoder", str(path.absolute()), *options]
    # With `-m`, Python looks for modules in the working directory first.
    with (
        Popen(command, cwd=_ROOT, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL) as process,
        bounded(process, BOUNDS) as watch,
    ):
        assert process.stdout is not None
        line = process.stdout.readline(_HEADER_BYTES)
        header = _header(line) if line else _Header((0, 0), ())
        expected = header.size[0] * header.size[1] * 3 if PIXELS in options else 0
        pixels = process.stdout.read(expected)
        process.stdout.close()
        code = process.wait()
        if watch.exceeded:
            raise ImageError("image_too_slow")
    if not line or len(pixels) < expected:
        raise ImageError("image_broke_decoder", exit_code=code)
    return header, pixels


def _header(line: bytes) -> _Header:
    reported = json.loads(line)
    if "error" in reported:
        error = Notice.from_json(reported["error"])
        raise ImageError(error.code, **dict(error.values))
    width, height = int(reported["width"]), int(reported["height"])
    if width * height > MAX_PIXELS:  # the decoder checks this, unless the image has hijacked it
        raise ImageError("image_far_too_large")
    return _Header((width, height), tuple(map(Notice.from_json, reported["notices"])))
