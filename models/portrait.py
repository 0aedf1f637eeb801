"""From the bytes of an image to the square crop, face mask and landmarks an engine works on."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Portrait:
    """The reference image as the engines see it.

    Attributes:
        image: uint8 RGB [height, width, 3], the square crop around the face, resized.
        mask: uint8 [height, width], 255 inside the dilated face box, 0 outside.
        landmarks: float32 [478, 3], MediaPipe's face mesh in pixels of `image` (z in pixels of
            its width, negative towards the viewer); None when no face was found.
        warnings: what the user should know about how the image was read.
    """

    image: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray | None
    warnings: tuple[str, ...] = ()
