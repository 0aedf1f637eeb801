"""Reading pictures and fields between their pixels."""

from typing import Any

import cv2
import numpy as np

ONE_MAP: Any = None  # both coordinates are in the first map; OpenCV's type hints do not know it


def read(picture: np.ndarray, at: np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
    """Bilinear; beyond the edge the edge goes on.

    Args:
        picture: uint8 or float32 [height, width] or [height, width, c], c up to 4.
        at: float32 pixels (x, y) [rows, columns, 2]; the centre of the first pixel is (0, 0).
        into: what to fill with the result, else it is a new array.

    Returns:
        [rows, columns] or [rows, columns, c], as `picture` is.
    """
    return cv2.remap(picture, at, ONE_MAP, cv2.INTER_LINEAR, into, cv2.BORDER_REPLICATE)


def combine(weights: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The sum of fields [k, rows, columns, c] by their weights [k]. Most weights are 0 most of the time."""
    total: np.ndarray = np.zeros_like(basis[0])
    for weight, field in zip(weights, basis, strict=True):
        if weight:
            cv2.scaleAdd(field, float(weight), total, total)
    return total


def spread(picture: np.ndarray, known: np.ndarray, reach: float) -> np.ndarray:
    """Spread known colours over unknown ones; the nearest count most.

    Normalised convolution (Knutsson and Westin 1993), from a wide Gaussian to narrow ones: what a narrow one
    does not reach keeps the colour that the wider one found.

    Args:
        picture: float32 [rows, columns, 3].
        known: float32 [rows, columns], 1 where the colour is known, 0 where it is to be found.
        reach: standard deviation of the widest Gaussian, in pixels.
    """
    colors = picture * known[..., None]
    found = np.broadcast_to(colors.sum(axis=(0, 1)) / known.sum(), picture.shape)
    for deviation in (reach, reach / 2, reach / 4, reach / 8):
        near = cv2.GaussianBlur(known, (0, 0), max(deviation, 0.5))[..., None]
        found = (cv2.GaussianBlur(colors, (0, 0), max(deviation, 0.5)) + 0.02 * found) / (near + 0.02)
    return np.asarray(found)
