"""From the bytes of an image to the square crop, face mask and landmarks an engine works on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.crop import Box, crop_square, mask_box
from models.errors import ImageError
from models.face import face_box, find_faces
from models.params import GenerationParams

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
ALLOWED = "JPEG, PNG, WebP, BMP, TIFF or GIF, at most 64 megapixels"
MAX_PIXELS = 64_000_000


@dataclass(frozen=True)
class Portrait:
    """The reference image as the engines see it.

    Attributes:
        image: uint8 RGB [height, width, 3], the square crop around the face, resized.
        mask: uint8 [height, width], 255 inside the dilated face box, 0 outside, in between on its edge.
        landmarks: float32 [478, 3], MediaPipe's face mesh in pixels of `image` (edges at whole numbers, so
            the first pixel's centre is at 0.5; z in pixels of its width, negative towards the viewer); where
            the crop or the photo cuts the face they lie outside. None when no face was found.
        warnings: what the user should know about how the image was read.
    """

    image: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray | None
    warnings: tuple[str, ...] = ()


def check_image(path: Path) -> None:
    """Refuse at once what `load_portrait` could not read, without looking for a face.

    Raises:
        ImageError: empty, not one of `FORMATS` by its content, over `MAX_PIXELS` (told from the header,
            before anything is decoded), damaged, or with more than 16 bits a channel.
    """
    with _opened(path) as image:
        image.draft("RGB", (1, 1))  # a JPEG is decoded at an eighth of its size; others ignore it
        image.load()


def load_portrait(path: Path, params: GenerationParams) -> Portrait:
    """Read the image and cut out the face that will speak: the largest.

    Args:
        path: the image, whatever its name.
        params: `width`, `height`, `facecrop_dilation_ratio` and `facemask_dilation_ratio` are used.

    Raises:
        ImageError: as `check_image`.
    """
    photo = _read(path)
    faces = find_faces(photo)
    whole = Box(0, 0, photo.width, photo.height)
    face = face_box(faces[0], photo.width, photo.height) if faces else whole
    square = crop_square(face, params.facecrop_dilation_ratio, photo.width, photo.height)
    mask = mask_box(face, params.facemask_dilation_ratio, photo.width, photo.height)
    return Portrait(
        image=_resized(np.asarray(photo.crop((square.x0, square.y0, square.x1, square.y1))), params),
        mask=_resized(mask_pixels(mask.relative_to(square), square.width), params),
        landmarks=_moved(faces[0], square, params) if faces else None,
        warnings=tuple(_warnings(len(faces), params)),
    )


def _read(path: Path) -> Image.Image:
    """The first frame, upright, RGB; transparent parts become white, as most viewers show them."""
    with _opened(path) as image:
        ImageOps.exif_transpose(image, in_place=True)  # and no copy where it is upright: 64 megapixels count
        if image.has_transparency_data:
            return _on_white(image.convert("RGBA"))
        return image if image.mode == "RGB" else _eight_bit(image).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image, its header found fit; what fails while it is decoded becomes an `ImageError`."""
    if not path.stat().st_size:
        raise ImageError("the reference image is an empty file", allowed=ALLOWED)
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_header(image)
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("the reference image is not an image that can be read", allowed=ALLOWED) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"the reference image is too large: over {MAX_PIXELS / 1e6:.0f} megapixels", allowed=ALLOWED
        ) from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        raise ImageError(f"the reference image is damaged: {error}", allowed=ALLOWED) from error


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
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def mask_pixels(face: Box, side: int) -> np.ndarray:
    """A square uint8 mask [side, side]: 255 inside the face box, 0 outside; the box may reach beyond it."""
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[max(face.y0, 0) : max(face.y1, 0), max(face.x0, 0) : max(face.x1, 0)] = 255
    return mask


def _resized(square: np.ndarray, params: GenerationParams) -> np.ndarray:
    """Bilinear without antialiasing, as the model's authors resize and so as it was trained."""
    import cv2

    return cv2.resize(square, (params.width, params.height), interpolation=cv2.INTER_LINEAR)


def _moved(landmarks: np.ndarray, square: Box, params: GenerationParams) -> np.ndarray:
    """From pixels of the photo to pixels of the resized crop; z is measured like x."""
    scale = np.array([params.width, params.height, params.width]) / square.width
    return ((landmarks - [square.x0, square.y0, 0]) * scale).astype(np.float32)


def _warnings(face_count: int, params: GenerationParams) -> Iterator[str]:
    if face_count == 0:
        yield "no face was found: the centred square of the image was used, and all of it counts as face"
    if face_count > 1:
        yield f"{face_count} faces were found; the largest one speaks"
    if params.width != params.height:
        size = f"{params.width}×{params.height}"
        yield f"the square crop was stretched to {size}; equal width and height keep its proportions"
