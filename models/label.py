"""The visible label, by which viewers see that a video is AI-generated. Knows nothing of encoders."""

import itertools
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.params import GenerationParams, LabelText
from models.yuv import BLACK, BRIGHTNESS_RANGE, NEUTRAL, planes_of

# GB 45438-2025 requires letters of at least 5 % of the shorter side, for at least two seconds.
LETTER_SHARE = 0.05
START_S = 2

# Below this number of pixels the strokes of 生 and 成 run together.
LEAST_LETTER_HEIGHT = 10

# Of the black box under the letters. White on it has a contrast of at least 5.7 : 1, even on a white picture.
BOX_OPACITY = 0.6

# In letter heights.
PADDING = 0.4
MARGIN = 0.5  # to the edges of the picture

# Noto Sans CJK SC Bold 2.004 without all other glyphs; its licence stands beside it. Made by
# pyftsubset NotoSansCJK-Bold.ttc --font-number=2 --text="AI 生成"
FONT = Path(__file__).parent / "fonts" / "NotoSansCJKsc-Bold.otf"

# Shares are kept as whole numbers of this fraction, since integers blend faster than floats.
_ONE = 256


class Label:
    """The label of one video, in its upper right corner: players put their controls and subtitles below.

    Args:
        text: what it says.
        width: of the video in pixels, even.
        height: of the video in pixels, even.
        frames: on how many frames it is, from the first one on; None for all.
    """

    def __init__(self, text: LabelText, width: int, height: int, frames: int | None = None):
        self._width, self._height, self._frames = width, height, frames
        letter_height = max(LEAST_LETTER_HEIGHT, math.ceil(LETTER_SHARE * min(width, height)))
        letters, box = _drawn(text, letter_height)
        hidden = 1 - (1 - letters) * (1 - BOX_OPACITY * box)
        light = letters * (BLACK + BRIGHTNESS_RANGE) + (hidden - letters) * BLACK
        # Colour has half the size, so the label begins at an even pixel.
        rows, columns = letters.shape
        margin = round(MARGIN * letter_height / 2)
        top, left = margin, width // 2 - columns // 2 - margin
        colour = hidden.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
        self._half = slice(top, top + rows // 2), slice(left, left + columns // 2)
        self._full = slice(2 * top, 2 * top + rows), slice(2 * left, 2 * left + columns)
        self._brightness = _shares(light, hidden)
        self._colour = _shares(NEUTRAL * colour, colour)

    @classmethod
    def of(cls, params: GenerationParams, text: LabelText) -> "Label | None":
        """The label that these parameters ask for; None if they ask for none."""
        if params.label == "none":
            return None
        frames = math.ceil(START_S * params.fps) if params.label == "start" else None
        return cls(text, params.width, params.height, frames)

    def draw(self, picture: np.ndarray, index: int) -> None:
        """Draw it into a frame, unless it is not on that frame.

        Args:
            picture: what `models.yuv.to_yuv420p` returned; altered in place.
            index: the number of the frame, from 0 on.
        """
        if self._frames is not None and index >= self._frames:
            return
        brightness, *colours = planes_of(picture, self._width, self._height)
        _blend(brightness[self._full], *self._brightness)
        for colour in colours:
            _blend(colour[self._half], *self._colour)


def _drawn(text: str, letter_height: int) -> tuple[np.ndarray, np.ndarray]:
    """How much of each pixel the letters cover, and the box: both 0 to 1 [height, width], sides even."""
    font = _font(letter_height)
    left, top, right, bottom = font.getbbox(text)
    padding = round(PADDING * letter_height)
    width, height = (math.ceil(side / 2 + padding) * 2 for side in (right - left, bottom - top))
    letters, box = (Image.new("L", (width, height)) for _ in range(2))
    ImageDraw.Draw(letters).text((padding - left, padding - top), text, fill=255, font=font)
    ImageDraw.Draw(box).rounded_rectangle((0, 0, width - 1, height - 1), padding, fill=255)
    return np.asarray(letters) / 255, np.asarray(box) / 255


def _font(letter_height: int) -> ImageFont.FreeTypeFont:
    """The smallest size at which capital letters are this high in pixels."""
    for size in itertools.count(letter_height):
        # The basic layout is the same on every machine; the other one depends on a library.
        font = ImageFont.truetype(FONT, size, layout_engine=ImageFont.Layout.BASIC)
        _, top, _, bottom = font.getbbox("I")
        if bottom - top >= letter_height:
            return font
    raise AssertionError("letters grow with the size")


def _shares(own: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the label adds to each value, rounding included, and what share it keeps; both uint16."""
    return (own * _ONE + _ONE / 2).astype(np.uint16), ((1 - hidden) * _ONE).round().astype(np.uint16)


def _blend(values: np.ndarray, own: np.ndarray, kept: np.ndarray) -> None:
    values[:] = (values * kept + own) // _ONE
