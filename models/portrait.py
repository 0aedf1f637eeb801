"""From an image to the square crop, face mask and landmarks that an engine works on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from models.crop import Box, crop_square, mask_box
from models.face import face_box
from models.image import load_image
from models.notices import Notice
from models.params import GenerationParams
from models.upright import UprightPhoto, turn_upright
from models.visibility import is_turned_away, mouth_is_covered

# Finds the face to cut out of an RGB photo; None if it finds none.
FaceDetector = Callable[[Image.Image], Box | None]


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


def load_portrait(
    path: Path, params: GenerationParams, face_detector: FaceDetector | None = None
) -> Portrait:
    """Read the image, turn it upright if need be, and cut out the face that will speak, which is the largest.

    Args:
        path: the image, whatever its name.
        params: `width`, `height`, `facecrop_dilation_ratio` and `facemask_dilation_ratio` are used.
        face_detector: what crop and mask follow; without one, or if it finds none, the landmarks.

    Raises:
        ImageError: see `models.image.load_image`.
    """
    loaded = load_image(path)
    photo = turn_upright(loaded.image)
    width, height = photo.image.size
    landmarks = photo.faces[0].landmarks if photo.faces else None
    estimated = Box(0, 0, width, height) if landmarks is None else face_box(landmarks, width, height)
    detected = face_detector(photo.image) if face_detector else None
    face = detected or estimated
    square = crop_square(face, params.facecrop_dilation_ratio, width, height)
    mask = mask_box(face, params.facemask_dilation_ratio, width, height)
    return Portrait(
        image=_resized(np.asarray(photo.image.crop((square.x0, square.y0, square.x1, square.y1))), params),
        mask=_resized(mask_pixels(mask.relative_to(square), square.width), params),
        landmarks=None if landmarks is None else _moved(landmarks, square, params),
        notices=(
            *loaded.notices,
            *_box_notices(len(photo.faces), detected is not None, face_detector is not None),
            *_notices(photo, params),
        ),
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


def _box_notices(count: int, detected: bool, expected: bool) -> Iterator[Notice]:
    if count == 0 and not detected:
        yield Notice.of("no_face")
    if count > 0 and expected and not detected:
        yield Notice.of("face_box_estimated")


def _notices(photo: UprightPhoto, params: GenerationParams) -> Iterator[Notice]:
    if photo.turned:
        yield Notice.of("photo_turned", degrees=photo.turned)
    if len(photo.faces) > 1:
        yield Notice.of("several_faces", count=len(photo.faces))
    if photo.faces and is_turned_away(photo.faces[0]):
        yield Notice.of("face_turned_away")
    if photo.faces and mouth_is_covered(photo.image, photo.faces[0]):
        yield Notice.of("mouth_covered")
    if params.width != params.height:
        yield Notice.of("stretched", width=params.width, height=params.height)
