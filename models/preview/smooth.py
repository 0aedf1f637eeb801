"""The few curves that everything here is made of."""

import numpy as np


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and 3x² - 2x³ between."""
    t = np.clip(x, 0, 1)
    eased: np.ndarray = t * t * (3 - 2 * t)
    return eased


def smooth_chain(values: np.ndarray, width: int = 7) -> np.ndarray:
    """A chain of values [n] under a Hann window of `width`; both ends keep their slope."""
    window = np.hanning(width)
    padded = np.pad(values, width // 2, mode="reflect", reflect_type="odd")
    return np.convolve(padded, window / window.sum(), "valid")
