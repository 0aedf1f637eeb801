"""From an image to the square crop, face mask and landmarks that an engine works on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.crop import Box, crop_square, mask_box
from models.face import face_box, find_faces
from models.image import load_image
from models.notices import Notice
from models.params import GenerationParams


@dataclass(frozen=True)
class Portrait:
    """The reference image as the engines see it.

    Attributes:
        image: uint8 RGB [height, width, 3], the square crop around the face, resized.
        mask: uint8 [height, width], 255 inside the dilated face box, 0 outside, in between on its edge.
        landmarks: float32 [478, 3], MediaPipe's face mesh in pixels of `image` (edges at whole numbers, so
            the first pixel's centre is at 0.5; z in pixels of its width, negative towards the viewer). Where
            the crop or the photo cuts the face off, they lie outside. None if no face was found.
        notices: what the user should know about how the image was read.
    """

    image: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray | None
    notices: tuple[Notice, ...] = ()


def load_portrait(path: Path, params: GenerationParams) -> Portrait:
    """Read the image and cut out the face that will speak, which is the largest.

    Args:
        path: the image, whatever its name.
        params: `width`, `height`, `facecrop_dilation_ratio` and `facemask_dilation_ratio` are used.

    Raises:
        ImageError: see `models.image.load_image`.
    """
    photo = load_image(path)
    faces = find_faces(photo)
    whole = Box(0, 0, photo.width, photo.height)
    face = face_box(faces[0], photo.width, photo.height) if faces else whole
    square = crop_square(face, params.facecrop_dilation_ratio, photo.width, photo.height)
    mask = mask_box(face, params.facemask_dilation_ratio, photo.width, photo.height)
    return Portrait(
        image=_resized(np.asarray(photo.crop((square.x0, square.y0, square.x1, square.y1))), params),
        mask=_resized(mask_pixels(mask.relative_to(square), square.width), params),
        landmarks=_moved(faces[0], square, params) if faces else None,
        notices=tuple(_notices(len(faces), params)),
    )


def mask_pixels(face: Box, side: int) -> np.ndarray:
    """A square uint8 mask [side, side]: 255 inside the face box, 0 outside; the box may reach beyond it."""
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[max(face.y0, 0) : max(face.y1, 0), max(face.x0, 0) : max(face.x1, 0)] = 255
    return mask


def _resized(square: np.ndarray, params: GenerationParams) -> np.ndarray:
    """Bilinear without antialiasing, as the model's authors resize, and therefore as it was trained."""
    import cv2

    return cv2.resize(square, (params.width, params.height), interpolation=cv2.INTER_LINEAR)


def _moved(landmarks: np.ndarray, square: Box, params: GenerationParams) -> np.ndarray:
    """From pixels of the photo to pixels of the resized crop; z is measured like x."""
    scale = np.array([params.width, params.height, params.width]) / square.width
    return ((landmarks - [square.x0, square.y0, 0]) * scale).astype(np.float32)


def _notices(face_count: int, params: GenerationParams) -> Iterator[Notice]:
    if face_count == 0:
        yield Notice.of("no_face")
    if face_count > 1:
        yield Notice.of("several_faces", count=face_count)
    if params.width != params.height:
        yield Notice.of("stretched", width=params.width, height=params.height)
