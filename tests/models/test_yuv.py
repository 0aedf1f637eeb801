import numpy as np
import pytest

from models.yuv import to_yuv420p

# 8-bit Y, U and V of BT.709 colour bars in limited range, as the recommendation's own formulas give them.
COLOURS = {
    "black": ((0, 0, 0), (16, 128, 128)),
    "white": ((255, 255, 255), (235, 128, 128)),
    "grey": ((128, 128, 128), (126, 128, 128)),
    "red": ((255, 0, 0), (63, 102, 240)),
    "green": ((0, 255, 0), (173, 42, 26)),
    "blue": ((0, 0, 255), (32, 240, 118)),
}


def planes(frame: np.ndarray) -> tuple[np.ndarray, ...]:
    height, width = frame.shape[:2]
    y, u, v = np.split(to_yuv420p(frame), [height * width, height * width * 5 // 4])
    return y.reshape(height, width), u.reshape(height // 2, -1), v.reshape(height // 2, -1)


@pytest.mark.parametrize(("rgb", "yuv"), COLOURS.values(), ids=COLOURS.keys())
def test_colours_are_those_of_the_standard(rgb, yuv):
    frame = np.full((4, 6, 3), rgb, np.uint8)

    for plane, value in zip(planes(frame), yuv, strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 1


def test_brightness_keeps_every_pixel_and_colour_is_the_mean_of_four():
    frame = np.zeros((4, 6, 3), np.uint8)
    frame[0, 0] = (0, 0, 255)
    frame[3, 5] = (255, 0, 0)
    y, u, v = planes(frame)

    assert [tuple(place) for place in np.argwhere(y > 16)] == [(0, 0), (3, 5)]
    assert u[0, 0] == pytest.approx(128 + 112 / 4, abs=1)
    assert v[1, 2] == pytest.approx(128 + 112 / 4, abs=1)
    assert (u[1, 0], v[0, 2]) == (128, 128)


def test_rows_of_a_larger_picture_are_taken_as_they_lie():
    picture = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    part = picture[4:12, 8:20]

    assert (to_yuv420p(part) == to_yuv420p(part.copy())).all()
