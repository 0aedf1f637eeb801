"""Where a visible label is, read from frames on which it was drawn."""

import numpy as np

from models.label import Label
from models.params import LabelText
from models.yuv import BLACK, BRIGHTNESS_RANGE, planes_of, to_yuv420p


def plain(width: int, height: int, grey: int) -> np.ndarray:
    """A frame of one grey, as `to_yuv420p` makes it."""
    return to_yuv420p(np.full((height, width, 3), grey, np.uint8))


def labelled(picture: np.ndarray, width: int, height: int, text: LabelText) -> np.ndarray:
    """Such a frame with the label."""
    drawn = picture.copy()
    Label(text, width, height).draw(drawn, 0)
    return drawn


def label_areas(width: int, height: int, text: LabelText) -> tuple[np.ndarray, np.ndarray]:
    """Two masks [height, width]: where the letters are whole, and where the box around them is bare."""
    on_black, on_white = (
        planes_of(labelled(plain(width, height, grey), width, height, text), width, height)[0]
        for grey in (0, 255)
    )
    box = on_white < on_white[-1, 0]
    return on_black >= BLACK + BRIGHTNESS_RANGE - 2, box & (on_black == BLACK)


def shows_label(frame: np.ndarray, text: LabelText = "AI") -> bool:
    """Whether a decoded frame, uint8 RGB [height, width, 3], has the label in its corner."""
    letters, box = label_areas(frame.shape[1], frame.shape[0], text)
    return frame[letters].mean() > 220 and frame[box].mean() < 130
