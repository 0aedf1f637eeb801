import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.crop import Box, crop_square, mask_box
from models.portrait import mask_pixels

GEOMETRY = json.loads((Path(__file__).parents[1] / "data" / "crop_geometry.json").read_text())


def corners(box: Box) -> list[int]:
    return [box.x0, box.y0, box.x1, box.y1]


def rounded(box: list[float]) -> Box:
    return Box(*np.round(box).astype(int).tolist())


def keeps_mask(case: dict) -> bool:
    """Whether the dilated box stays clear of the left and upper border, where the authors' mask fails."""
    face = rounded(case["box_xyxy"]).dilated(case["mask_ratio"])
    return face.x0 >= 0 and face.y0 >= 0


def overlaps_image(case: dict) -> bool:
    x0, y0, x1, y1 = case["rect"]
    width, height = case["image_wh"]
    return x0 < width and y0 < height and x1 > 0 and y1 > 0


@pytest.mark.parametrize("case", GEOMETRY["faces"])
def test_cuts_the_square_that_the_authors_cut(case):
    square = crop_square(rounded(case["box_xyxy"]), case["crop_ratio"], *case["image_wh"])

    assert corners(square) == case["square"]


@pytest.mark.parametrize("case", [case for case in GEOMETRY["faces"] if keeps_mask(case)])
def test_masks_what_the_authors_mask(case):
    face = rounded(case["box_xyxy"])
    square = crop_square(face, case["crop_ratio"], *case["image_wh"])
    mask = mask_box(face, case["mask_ratio"], *case["image_wh"])
    resized = cv2.resize(mask_pixels(mask.relative_to(square), square.width), case["size_wh"])

    assert corners(mask) == case["mask"]
    assert zlib.crc32(resized.tobytes()) == case["resized_mask_crc32"]


@pytest.mark.parametrize("case", [case for case in GEOMETRY["faces"] if not keeps_mask(case)])
def test_a_face_at_the_border_keeps_the_part_of_its_mask_that_is_inside(case):
    face = rounded(case["box_xyxy"])
    width, height = case["image_wh"]
    dilated, mask = face.dilated(case["mask_ratio"]), mask_box(face, case["mask_ratio"], width, height)

    assert corners(mask) == [
        max(dilated.x0, 0),
        max(dilated.y0, 0),
        min(dilated.x1, width),
        min(dilated.y1, height),
    ]
    assert mask_pixels(mask.relative_to(crop_square(face, case["crop_ratio"], width, height)), width).any()


@pytest.mark.parametrize("case", [case for case in GEOMETRY["rects"] if overlaps_image(case)])
def test_takes_the_largest_centred_square_of_what_is_inside_the_image(case):
    assert corners(Box(*case["rect"]).clamped(*case["image_wh"]).centred_square()) == case["out_rect"]


@pytest.mark.parametrize("case", [case for case in GEOMETRY["rects"] if not overlaps_image(case)])
def test_a_rectangle_outside_the_image_still_gives_a_square_inside(case):
    width, height = case["image_wh"]
    square = Box(*case["rect"]).clamped(width, height).centred_square()

    assert square.width == square.height >= 1
    assert square.clamped(width, height) == square


def test_dilation_is_by_whole_pixels_rounded_down():
    assert corners(Box(10, 20, 29, 49).dilated(0.1)) == [9, 18, 30, 51]


def test_the_geometry_file_holds_cases_of_every_kind():
    assert {keeps_mask(case) for case in GEOMETRY["faces"]} == {True, False}
    assert {overlaps_image(case) for case in GEOMETRY["rects"]} == {True, False}
