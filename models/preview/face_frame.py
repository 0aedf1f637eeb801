"""Coordinates in which every face is upright and one unit high. Knows nothing of what is drawn in them."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from models.landmarks import CHIN_TIP, FOREHEAD

LEFT_CORNER, RIGHT_CORNER = 61, 291


@dataclass(frozen=True)
class FaceFrame:
    """The affine map between pixels (x, y) and face coordinates (u, v).

    The origin is the middle between the corners of the mouth; u runs along the mouth to the right of the
    picture, v down the face; the unit is the height of the face, from the hairline to the tip of the chin.
    A square crop that was stretched to another shape is undone, so a circle in (u, v) is round on the face.

    Attributes:
        origin: pixels [2].
        axes: pixels [2, 2]; row 0 is one unit along u, row 1 one unit along v.
    """

    origin: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, landmarks: np.ndarray, width: int, height: int) -> "FaceFrame":
        """Fit the frame to a face.

        Args:
            landmarks: [478, 2] in pixels.
            width: of the picture in pixels; it was a square once.
            height: likewise.
        """
        size = np.array([width, height], dtype=np.float64)
        square = landmarks / size
        along = square[RIGHT_CORNER] - square[LEFT_CORNER]
        along /= np.linalg.norm(along)
        down = np.array([-along[1], along[0]])
        unit = np.linalg.norm(square[CHIN_TIP] - square[FOREHEAD])
        middle = landmarks[[LEFT_CORNER, RIGHT_CORNER]].mean(axis=0)
        return cls(origin=middle.astype(np.float64), axes=np.stack([along, down]) * unit * size)

    def between(self, left: np.ndarray, right: np.ndarray) -> "FaceFrame":
        """The same around a feature: upright on the line from `left` to `right`, which is the unit."""
        along = right - left
        axes = np.stack([along, (-along[1], along[0])])
        return FaceFrame(origin=self.to_pixels((left + right) / 2), axes=axes @ self.axes)

    @property
    def unit(self) -> float:
        """Pixels of one face height, the geometric mean of both directions."""
        return float(np.sqrt(abs(np.linalg.det(self.axes))))

    def to_face(self, points: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] to face coordinates [..., 2], float32."""
        flat = np.ascontiguousarray(points, dtype=np.float32).reshape(1, -1, 2)
        return cv2.transform(flat, self._inverse).reshape(points.shape)

    @cached_property
    def _inverse(self) -> np.ndarray:
        inverse = np.linalg.inv(self.axes)
        return np.column_stack([inverse.T, -self.origin @ inverse])

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Face coordinates [..., 2] to pixels [..., 2]."""
        pixels: np.ndarray = points @ self.axes + self.origin
        return pixels

    def vectors_to_pixels(self, vectors: np.ndarray) -> np.ndarray:
        """Displacements in face heights [..., 2] to pixels [..., 2]."""
        pixels: np.ndarray = vectors @ self.axes
        return pixels
