"""The visible label, looked at pixel by pixel in frames as they go to the encoder."""

import itertools
import math

import numpy as np
import pytest

from models.label import Label
from models.params import LABEL_MODES, LIMITS, GenerationParams
from models.yuv import BLACK, BRIGHTNESS_RANGE, NEUTRAL, planes_of, to_yuv420p
from tests.labels import label_areas, labelled, plain

TEXTS = ["AI", "AI 生成"]
SIDES = [LIMITS.width.least, 136, 512, LIMITS.width.most]
SIZES = list(itertools.product(SIDES, SIDES))
NOISE = np.random.default_rng(0)


def noise(width, height):
    """Squares of all colours, as large as the strokes of the letters."""
    small = NOISE.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return to_yuv420p(np.ascontiguousarray(small.repeat(4, axis=0).repeat(4, axis=1)))


def luminance(brightness):
    """Of greys of the video, 0 to 1, as WCAG 2.2 defines it."""
    grey = np.clip((brightness.astype(float) - BLACK) / BRIGHTNESS_RANGE, 0, 1)
    return np.where(grey <= 0.04045, grey / 12.92, ((grey + 0.055) / 1.055) ** 2.4)


def runs(mask):
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return edges.reshape(-1, 2) - [0, 1]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_letter_is_at_least_a_twentieth_of_the_shorter_side(width, height, text):
    brightness = planes_of(labelled(plain(width, height, 0), width, height, text), width, height)[0]
    lit = brightness > BLACK + BRIGHTNESS_RANGE / 3
    letters = runs(lit.any(axis=0))
    heights = [np.ptp(np.flatnonzero(lit[:, first : last + 1].any(axis=1))) + 1 for first, last in letters]

    assert len(letters) >= 2
    assert min(heights) >= math.ceil(min(width, height) * 0.05)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_is_whole_and_in_the_upper_right_corner_at_every_size(width, height, text):
    letters, box = label_areas(width, height, text)
    rows, columns = np.nonzero(letters | box)

    assert 0 < rows.min() < 0.05 * min(width, height)
    assert 0 < width - 1 - columns.max() < 0.05 * min(width, height)
    assert columns.min() > 0
    assert rows.max() < height / 4


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("background", ["white", "grey", "black", "noise"])
def test_can_be_read_on_any_background(background, side, text):
    greys = {"white": 255, "grey": 128, "black": 0}
    picture = plain(side, side, greys[background]) if background in greys else noise(side, side)
    brightness = planes_of(labelled(picture, side, side, text), side, side)[0]
    letters, box = label_areas(side, side, text)

    # The contrast that WCAG 2.2 asks of normal text, between any two pixels of the one and the other.
    darkest, lightest = luminance(brightness[letters]).min(), luminance(brightness[box]).max()
    assert (darkest + 0.05) / (lightest + 0.05) >= 4.5


@pytest.mark.parametrize("text", TEXTS)
def test_leaves_the_rest_of_the_picture_as_it_was(text):
    before = noise(512, 384)
    after = labelled(before, 512, 384, text)
    brightness, *colours = (
        was != now for was, now in zip(planes_of(before, 512, 384), planes_of(after, 512, 384), strict=True)
    )

    assert brightness.any()
    for plane, scale in ((brightness, 1), *((colour, 2) for colour in colours)):
        rows, columns = np.nonzero(plane)
        assert rows.max() < 60 / scale
        assert columns.min() > 360 / scale


def test_is_white_whatever_the_colour_below():
    orange = to_yuv420p(np.full((512, 512, 3), (250, 120, 10), np.uint8))
    _, *colours = planes_of(labelled(orange, 512, 512, "AI"), 512, 512)
    whole = label_areas(512, 512, "AI")[0].reshape(256, 2, 256, 2).all(axis=(1, 3))

    assert whole.sum() > 20
    for colour in colours:
        assert np.abs(colour[whole].astype(int) - NEUTRAL).max() <= 1


def frames_with_label(count, **params):
    label = Label.of(GenerationParams(width=128, height=128, **params), "AI")
    blank = plain(128, 128, 0)
    drawn = []
    for index in range(count):
        picture = blank.copy()
        label.draw(picture, index)
        drawn.append((picture != blank).any())
    return drawn


def test_is_on_every_frame_where_it_is_to_stay():
    assert all(frames_with_label(200, label="corner", fps=24))


@pytest.mark.parametrize(("fps", "frames"), [(1, 2), (7, 14), (24, 48), (60, 120)])
def test_is_on_the_frames_of_the_first_two_seconds_where_it_is_for_the_start(fps, frames):
    assert frames_with_label(130, label="start", fps=fps) == [True] * frames + [False] * (130 - frames)


def test_there_is_none_unless_asked_for():
    assert Label.of(GenerationParams(), "AI") is None
    assert [mode for mode in LABEL_MODES if Label.of(GenerationParams(label=mode), "AI")] == [
        "start",
        "corner",
    ]
