"""The detector draws the boxes that the authors' draws, in bounded time and memory."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from torch import nn

from models.crop import Box
from models.echomimic import mtcnn
from models.echomimic.mtcnn import Mtcnn
from tests.models.face_boxes import ASTRONAUT, OTHERS, Case, photo

HEAD = (150, 40, 300, 210)  # the astronaut's, in her photo


def by_name(case: Case) -> str:
    return str(case["name"])


@pytest.fixture(scope="module")
def detector() -> Mtcnn:
    return Mtcnn()


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The scales at which a photo was searched."""
    scales: list[float] = []
    search = Mtcnn._search

    def note(detector: Mtcnn, pixels: mtcnn._Pixels, scale: float):
        scales.append(scale)
        return search(detector, pixels, scale)

    monkeypatch.setattr(Mtcnn, "_search", note)
    return scales


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each of `boxes` with each of `others`."""
    boxes = boxes[:, None]
    low, high = np.maximum(boxes[..., :2], others[:, :2]), np.minimum(boxes[..., 2:], others[:, 2:])
    both = np.maximum(high - low, 0).prod(axis=-1)
    first, second = ((each[..., 2:] - each[..., :2]).prod(axis=-1) for each in (boxes, others))
    return both / (first + second - both)


@pytest.mark.parametrize("case", ASTRONAUT, ids=by_name)
def test_a_box_has_the_corners_that_the_authors_detector_gives_it(detector: Mtcnn, case: Case) -> None:
    faces = detector.find(photo(case))

    assert faces.boxes.tolist() == [pytest.approx(box, abs=0.1) for box in case["boxes"]]
    assert faces.probabilities.tolist() == pytest.approx(case.get("probs", []), abs=2e-4)


@pytest.mark.parametrize("case", OTHERS, ids=by_name)
def test_every_face_in_another_photo_has_the_authors_box(detector: Mtcnn, case: Case) -> None:
    boxes = detector.find(photo(case)).boxes.numpy()

    assert len(boxes) == len(case["boxes"])
    if case["boxes"]:
        assert overlaps(boxes, np.array(case["boxes"])).max(axis=0).min() >= 0.99


@pytest.mark.parametrize("case", [case for case in OTHERS if len(case["boxes"]) != 1], ids=by_name)
def test_the_face_is_the_largest_of_those_that_are_probable_enough(detector: Mtcnn, case: Case) -> None:
    probable = [box for box, share in zip(case["boxes"], case["probs"], strict=True) if share > 0.8]
    largest = max(probable, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), default=None)
    face = detector(photo(case))

    if largest is None:
        assert face is None
    else:
        # The files have a tenth of a pixel, which may be rounded to another side.
        assert [face.x0, face.y0, face.x1, face.y1] == pytest.approx(largest, abs=0.56)


def test_a_face_box_is_rounded_to_the_nearest_pixel(detector: Mtcnn) -> None:
    assert detector(photo(ASTRONAUT[0])) == Box(183, 63, 269, 173)


def test_the_detector_sees_red_as_blue(detector: Mtcnn) -> None:
    picture = photo(ASTRONAUT[0])
    swapped = Image.fromarray(np.asarray(picture)[..., ::-1])

    assert detector.find(swapped).probabilities.tolist() != detector.find(picture).probabilities.tolist()


def test_parts_of_the_photo_are_means_even_where_the_sums_exceed_their_type() -> None:
    pixels = mtcnn._Pixels(Image.new("RGB", (3200, 2800), (255, 200, 100)))  # 255 × 9 million is above 2^31
    cells = mtcnn._cells(2800, 3)

    means = pixels.means(cells, cells) * 128 + 127.5

    assert means[:, 2, 2].tolist() == pytest.approx([100, 200, 255], abs=1e-3)


def test_tiles_make_no_difference(detector: Mtcnn, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = photo(ASTRONAUT[0]).resize((701, 503))
    whole = detector.find(picture).boxes
    assert len(whole) > 0

    for tile in (64, 10, 38):
        monkeypatch.setattr(mtcnn, "TILE", tile)
        assert detector.find(picture).boxes.tolist() == [
            pytest.approx(box, abs=0.01) for box in whole.tolist()
        ]


@pytest.mark.parametrize("size", [(1, 1), (19, 600), (20, 20), (21, 33), (40_000, 1), (20, 4_000)])
def test_a_photo_may_have_any_size(detector: Mtcnn, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)

    assert detector(Image.fromarray(noise)) is None


@pytest.mark.parametrize("colour", ["black", "white", "red", (224, 172, 105)])
def test_there_is_nobody_in_a_single_colour(detector: Mtcnn, colour: str | tuple[int, int, int]) -> None:
    assert detector(Image.new("RGB", (300, 200), colour)) is None


def test_a_photo_too_small_for_a_face_is_not_even_summed_up(
    detector: Mtcnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "integral", None)

    assert detector(Image.new("RGB", (3_000_000, 19))) is None


def test_of_a_thousand_faces_no_more_are_proposed_than_can_be_judged_soon(
    detector: Mtcnn, monkeypatch: pytest.MonkeyPatch, searched: list[float]
) -> None:
    head = np.asarray(Image.fromarray(astronaut()).crop(HEAD).resize((36, 40)))
    crowd = Image.fromarray(np.tile(head, (25, 40, 1)))
    judged: list[int] = []
    judge = mtcnn._judged

    def note(network: nn.Module, side: int, boxes: torch.Tensor, pixels: mtcnn._Pixels) -> mtcnn.Faces:
        judged.append(len(boxes))
        return judge(network, side, boxes, pixels)

    monkeypatch.setattr(mtcnn, "_judged", note)
    monkeypatch.setattr(mtcnn, "MOST_PROPOSALS", 300)

    face = detector(crowd)

    assert face is not None
    assert max(judged) <= 2 * 300  # less than that from coarser searches, and that from the last
    # Small faces are given up, large ones are not.
    assert min(searched) < 0.05
    assert max(searched) < 0.6
