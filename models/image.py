"""From the bytes of an image to its pixels, decoded in a process with limits (`models.image_decoder`)."""

import json
import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

from PIL import Image

from models.bounds import Bounds, bounded
from models.errors import ImageError
from models.image_decoder import MAX_PIXELS, PIXELS
from models.notices import Notice

# Measured: of the images that are accepted, 64 megapixels of animated WebP with transparency need most
# memory, 1.3 GiB, and a PNG takes longest, 3.3 s.
BOUNDS = Bounds(memory=2 * 2**30, cpu_seconds=20, seconds=60)

_ROOT = Path(__file__).parent.parent
_HEADER_BYTES = 4096


def check_image(path: Path) -> None:
    """Refuse an image that `load_image` could not read.

    Raises:
        ImageError: as `load_image`.
    """
    _decode(path)


def load_image(path: Path) -> Image.Image:
    """The first frame of an image, upright, RGB; transparent parts are white.

    Raises:
        ImageError: empty, not one of the decoder's `FORMATS` by its content, over `MAX_PIXELS` (according to
            its header, before anything is decoded), damaged, or with more than 16 bits a channel; or decoding
            it exceeds `BOUNDS`.
    """
    size, pixels = _decode(path, PIXELS)
    return Image.frombytes("RGB", size, pixels)


def _decode(path: Path, *options: str) -> tuple[tuple[int, int], bytes]:
    """The size that the decoder reports and, if requested, the pixels."""
    command = [sys.executable, "-m", "models.image_decoder", str(path.absolute()), *options]
    # With `-m`, modules are looked for in the working directory first.
    with (
        Popen(command, cwd=_ROOT, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL) as process,
        bounded(process, BOUNDS) as watch,
    ):
        assert process.stdout is not None
        header = process.stdout.readline(_HEADER_BYTES)
        size = _size(header) if header else (0, 0)
        expected = size[0] * size[1] * 3 if PIXELS in options else 0
        pixels = process.stdout.read(expected)
        process.stdout.close()
        code = process.wait()
        if watch.exceeded:
            raise ImageError("image_too_slow")
    if not header or len(pixels) < expected:
        raise ImageError("image_broke_decoder", exit_code=code)
    return size, pixels


def _size(header: bytes) -> tuple[int, int]:
    told = json.loads(header)
    if "error" in told:
        error = Notice.from_json(told["error"])
        raise ImageError(error.code, **dict(error.values))
    width, height = int(told["width"]), int(told["height"])
    if width * height > MAX_PIXELS:  # the decoder checks this, unless the image has hijacked it
        raise ImageError("image_far_too_large")
    return width, height
