"""Reading pictures and fields between their pixels."""

from typing import Any

import cv2
import numpy as np

ONE_MAP: Any = None  # both coordinates are in the first map; OpenCV's type hints do not know it


def read(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Bilinear; beyond the edge the edge goes on.

    Args:
        picture: uint8 or float32 [height, width] or [height, width, c], c up to 4.
        at: float32 pixels (x, y) [rows, columns, 2]; the centre of the first pixel is (0, 0).

    Returns:
        [rows, columns] or [rows, columns, c], as `picture` is.
    """
    return cv2.remap(picture, at, ONE_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def combine(weights: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The sum of fields [k, ...] by their weights [k]. Most weights are 0 most of the time."""
    total = np.zeros_like(basis[0])
    for weight, field in zip(weights, basis, strict=True):
        if weight:
            total += weight * field
    return total
