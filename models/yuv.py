"""Frames as video stores them: brightness at full size, colour at half size. Knows nothing of encoders."""

import numpy as np

# Shares of red and blue in brightness, Rec. ITU-R BT.709.
RED, BLUE = 0.2126, 0.0722
# The part of the 8-bit range that "limited range" uses: brightness 16 to 235, colour differences 128 ± 112.
BLACK, BRIGHTNESS_RANGE = 16, 219
NEUTRAL, COLOUR_RANGE = 128, 224


def _from_rgb() -> np.ndarray:
    """The matrix [3, 4] from R, G and B (0 to 255) and a constant 1 to Y, U and V of 8 bits."""
    brightness = np.array([RED, 1 - RED - BLUE, BLUE])
    blueness = (np.array([0, 0, 1]) - brightness) / (2 * (1 - BLUE))
    redness = (np.array([1, 0, 0]) - brightness) / (2 * (1 - RED))
    scaled = np.stack([BRIGHTNESS_RANGE * brightness, COLOUR_RANGE * blueness, COLOUR_RANGE * redness]) / 255
    return np.column_stack([scaled, [BLACK, NEUTRAL, NEUTRAL]])


FROM_RGB = _from_rgb()


def to_yuv420p(frame: np.ndarray) -> np.ndarray:
    """One frame in ffmpeg's pixel format yuv420p, by BT.709 in limited range.

    Args:
        frame: uint8 RGB [height, width, 3], sides even.

    Returns:
        uint8 [height × width × 3 / 2]: Y, then U and V, each value of which is the mean of 2 × 2 pixels.
    """
    import cv2

    height, width = frame.shape[:2]
    picture = np.empty(height * width * 3 // 2, np.uint8)
    brightness, blueness, redness = planes_of(picture, width, height)
    yuv = cv2.transform(frame, FROM_RGB)
    halved = cv2.resize(yuv, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    cv2.extractChannel(yuv, 0, brightness)
    cv2.extractChannel(halved, 1, blueness)
    cv2.extractChannel(halved, 2, redness)
    return picture


def planes_of(picture: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y [height, width], U and V [height / 2, width / 2] of such a frame; they share its memory."""
    brightness, blueness, redness = np.split(picture, [height * width, height * width * 5 // 4])
    half = height // 2, width // 2
    return brightness.reshape(height, width), blueness.reshape(half), redness.reshape(half)
