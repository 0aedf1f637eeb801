"""Frames as video stores them: brightness at full size, colour at half. Knows nothing of encoders."""

import numpy as np

# Shares of red and blue in brightness, Rec. ITU-R BT.709.
RED, BLUE = 0.2126, 0.0722
# The part of 8 bits that "limited range" uses: brightness from 16 to 235, colour differences 128 ± 112.
BLACK, BRIGHTNESS_RANGE = 16, 219
NEUTRAL, COLOUR_RANGE = 128, 224


def _from_rgb() -> np.ndarray:
    """RGB of 0 to 255 and a one, to Y, U and V of 8 bits: [3, 4]."""
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
    planes = np.empty(height * width * 3 // 2, np.uint8)
    brightness, blueness, redness = np.split(planes, [height * width, height * width * 5 // 4])
    yuv = cv2.transform(frame, FROM_RGB)
    halved = cv2.resize(yuv, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    cv2.extractChannel(yuv, 0, brightness.reshape(height, width))
    cv2.extractChannel(halved, 1, blueness.reshape(height // 2, width // 2))
    cv2.extractChannel(halved, 2, redness.reshape(height // 2, width // 2))
    return planes
