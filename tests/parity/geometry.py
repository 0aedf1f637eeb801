"""Goldens of the crop: where the authors' inference script cuts, and what it calls face."""

import zlib
from collections.abc import Iterator

import numpy as np

from benchmarks.rules import picture
from models.crop import Box, crop_square, mask_box
from tests.parity.bench import Bench, Facts
from tests.parity.rows import AnyRow, LeftOut, compare

OUTSIDE = "a rectangle outside the image, of which the authors cut nothing and we the nearest pixel"
NO_FACE = "without a face the authors keep the whole image and crash; we use the centred square"
BORDER = "the authors' mask is lost where the padded face reaches over the border; ours is clamped"
MENDED = "errors of the authors' script, which the engine's own checks replace"


def rows(bench: Bench, stem: str) -> Iterator[AnyRow]:
    """Compare `geometry`: boxes and pixels, exact."""
    facts = bench.facts(stem)
    for number, case in enumerate(facts["infer_cases"]):
        yield from _portrait(bench, f"{stem} portrait {number}", case)
    for number, case in enumerate(facts["crop_and_pad_cases"]):
        yield _square(f"{stem} rectangle {number}", case)
    yield LeftOut(f"{stem} edge_behaviour_errors", MENDED)


def _square(name: str, case: Facts) -> AnyRow:
    if min(case["out_shape"]) == 0 or case["out_rect"][2] <= case["out_rect"][0]:
        return LeftOut(name, OUTSIDE)
    square = Box(*case["rect"]).clamped(*case["image_wh"]).centred_square()
    return compare(name, _edges(square), case["out_rect"])


def _portrait(bench: Bench, name: str, case: Facts) -> Iterator[AnyRow]:
    if case["selected"] is None:
        yield LeftOut(name, NO_FACE)
        return
    face = Box(*(int(edge) for edge in np.rint(case["selected"])))
    square = crop_square(face, case["facecrop_dilation_ratio"], *case["image_wh"])
    yield compare(f"{name} square", _edges(square), case["image_crop"]["out_rect"])

    width, height = case["image_wh"]
    photo = picture(width, height, bench.rules.salt + "geom")
    image, mask = cut_out(photo, face, case)
    yield compare(f"{name} image", zlib.crc32(image.tobytes()), case["final_image_crc32"])
    yield compare(f"{name} image mean", image.mean((0, 1)), case["final_image_mean"], 1e-6)

    padded = face.dilated(case["facemusk_dilation_ratio"])
    if padded.x0 < 0 or padded.y0 < 0:
        yield LeftOut(f"{name} mask", BORDER)
        return
    box = mask_box(face, case["facemusk_dilation_ratio"], *case["image_wh"])
    yield compare(f"{name} mask box", _edges(box), case["mask_crop"]["in_mask_bbox"])
    yield from _mask(name, mask, case)


def cut_out(photo: np.ndarray, face: Box, case: Facts) -> tuple[np.ndarray, np.ndarray]:
    """The portrait and its mask, as the authors' script cuts them out around a face box.

    Args:
        photo: uint8 RGB [height, width, 3].
        face: within the photo, and away from its border.
        case: `W` and `H` of the video, and the dilation ratios.
    """
    height, width = photo.shape[:2]
    square = crop_square(face, case["facecrop_dilation_ratio"], width, height)
    filled = np.zeros((height, width), np.uint8)
    box = mask_box(face, case["facemusk_dilation_ratio"], width, height)
    filled[box.y0 : box.y1, box.x0 : box.x1] = 255
    return _resized(_cut(photo, square), case), _resized(_cut(filled, square), case)


def _mask(name: str, mask: np.ndarray, case: Facts) -> Iterator[AnyRow]:
    yield compare(f"{name} mask", zlib.crc32(mask.tobytes()), case["final_mask_zlib_crc32"])
    yield compare(f"{name} mask sum", mask.sum(dtype=np.int64), case["final_mask_sum"])
    yield compare(f"{name} mask above 0", _bounds(mask > 0), case["final_mask_bbox_gt0"])
    yield compare(f"{name} mask at 255", _bounds(mask == 255), case["final_mask_bbox_eq255"])


def _cut(image: np.ndarray, square: Box) -> np.ndarray:
    return np.ascontiguousarray(image[square.y0 : square.y1, square.x0 : square.x1])


def _resized(image: np.ndarray, case: Facts) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(image, (case["W"], case["H"]), interpolation=cv2.INTER_LINEAR))


def _edges(box: Box) -> list[int]:
    return [box.x0, box.y0, box.x1, box.y1]


def _bounds(inside: np.ndarray) -> list[int]:
    y, x = np.nonzero(inside)
    return [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
