from functools import cache

import numpy as np
import pytest
from PIL import Image
from skimage.data import brick, coffee, colorwheel, grass

from models.crop import Box
from models.face import Face, face_box, find_faces
from tests.models.face_boxes import ASTRONAUT, photo, turned

MTCNN_FACES = [case for case in ASTRONAUT if case["boxes"]]
FACE = (150, 40, 300, 210)  # the astronaut's head in her photo


def pasted(photo: Image.Image, *places: tuple[int, int, int]) -> Image.Image:
    """A large still life with the astronaut's head in it, once per (x, y, height)."""
    scene = Image.fromarray(coffee()).resize((1600, 1200))
    head = photo.crop(FACE)
    for x, y, height in places:
        scene.paste(head.resize((round(height * head.width / head.height), height)), (x, y))
    return scene


def the_face(photo: Image.Image) -> Face:
    (face,) = find_faces(photo)
    return face


def intersection_over_union(box: Box, other: list[float]) -> float:
    width = min(box.x1, other[2]) - max(box.x0, other[0])
    height = min(box.y1, other[3]) - max(box.y0, other[1])
    both = max(width, 0) * max(height, 0)
    return both / (box.width * box.height + (other[2] - other[0]) * (other[3] - other[1]) - both)


@pytest.fixture(scope="module")
def overlap():
    @cache
    def measure(index: int) -> float:
        case = MTCNN_FACES[index]
        picture = photo(case)
        landmarks = the_face(picture).landmarks
        return intersection_over_union(face_box(landmarks, *picture.size), case["boxes"][0])

    return measure


@pytest.mark.parametrize("index", range(len(MTCNN_FACES)), ids=[case["name"] for case in MTCNN_FACES])
def test_the_box_is_close_to_the_one_the_authors_detector_draws(index, overlap):
    assert overlap(index) >= 0.75


def test_the_boxes_are_nearly_the_authors_on_average(overlap):
    assert np.mean([overlap(index) for index in range(len(MTCNN_FACES))]) >= 0.88


def test_finds_nobody_where_the_authors_detector_finds_nobody(nobody_image):
    assert find_faces(nobody_image) == []


@pytest.mark.parametrize("scene", [coffee, brick, grass, colorwheel], ids=lambda scene: scene.__name__)
def test_finds_nobody_in_things_and_textures(scene):
    assert find_faces(Image.fromarray(scene()).convert("RGB")) == []


@pytest.mark.parametrize("degrees", [-30, -20, -10, 10, 20, 30])
def test_finds_a_tilted_face(degrees, astronaut_image):
    photo = turned(astronaut_image.crop((80, 0, 380, 300)), degrees)
    landmarks = the_face(photo).landmarks
    left_eye, right_eye = landmarks[33, :2], landmarks[263, :2]
    upright = the_face(astronaut_image).landmarks
    before = np.subtract(upright[263, :2], upright[33, :2])
    tilt = np.arctan2(*(right_eye - left_eye)[::-1]) - np.arctan2(*before[::-1])

    assert np.degrees(tilt) == pytest.approx(-degrees, abs=3)


@pytest.mark.parametrize("height", [400, 160, 80, 60])
def test_finds_a_small_face_in_a_large_photo(height, astronaut_image):
    landmarks = the_face(pasted(astronaut_image, (900, 500, height))).landmarks
    alone = the_face(astronaut_image).landmarks
    expected = (alone[1, :2] - FACE[:2]) * height / (FACE[3] - FACE[1]) + (900, 500)

    assert landmarks[1, :2] == pytest.approx(expected, abs=height * 0.03)


@pytest.mark.parametrize(
    ("size", "side", "place"),
    [
        ((12_000, 900), 800, (7200, 50)),
        ((4000, 300), 267, (2400, 10)),
        ((300, 4000), 267, (10, 3500)),
        ((900, 9000), 500, (300, 1100)),
        ((6000, 600), 300, (5600, 250)),
        ((3000, 150), 150, (1500, 0)),
        ((8000, 6000), 512, (4800, 1500)),
    ],
    ids=["panorama", "strip", "tall scan", "tall page", "banner", "thin strip", "large photo"],
)
def test_finds_a_face_in_a_photo_of_any_shape(size, side, place, astronaut_image):
    photo = Image.new("RGB", size, "grey")
    photo.paste(astronaut_image.resize((side, side), Image.Resampling.LANCZOS), place)
    alone = the_face(astronaut_image).landmarks

    found = (the_face(photo).landmarks[1, :2] - place) * 512 / side
    assert found == pytest.approx(alone[1, :2], abs=8)


def test_a_strip_too_thin_for_a_face_is_not_searched_for_long():
    assert find_faces(Image.new("RGB", (200_000, 64))) == []


@pytest.mark.parametrize("cut", [(170, 60, 280, 180), (180, 70, 275, 170), (190, 85, 265, 165)])
def test_finds_a_face_that_fills_the_frame(cut, astronaut_image):
    assert len(find_faces(astronaut_image.crop(cut).resize((480, 480)))) == 1


@pytest.mark.parametrize("cut", [(215, 0, 512, 300), (0, 0, 245, 300), (80, 85, 400, 400), (80, 0, 400, 150)])
def test_finds_a_face_cut_by_the_border(cut, astronaut_image):
    assert len(find_faces(astronaut_image.crop(cut))) == 1


def test_finds_every_face_once_the_largest_first(astronaut_image):
    photo = pasted(astronaut_image, (100, 200, 420), (1000, 100, 700))

    assert [round(face.landmarks[1, 0] / photo.width, 1) for face in find_faces(photo)] == [0.8, 0.2]


def test_tells_faces_apart_that_touch(astronaut_image):
    photo = pasted(astronaut_image, (100, 200, 500), (541, 200, 500), (982, 180, 540))

    columns = [round(face.landmarks[1, 0], -2) for face in find_faces(photo)]

    assert columns[0] == 1200
    assert sorted(columns) == [300, 800, 1200]


def test_landmarks_are_in_pixels_of_the_photo(astronaut_image):
    landmarks = the_face(astronaut_image).landmarks
    twice = the_face(astronaut_image.resize((1024, 1024))).landmarks

    assert landmarks.shape == (478, 3)
    assert np.abs(twice - 2 * landmarks)[:, :2].max() < 4
    assert landmarks[468, :2] == pytest.approx((203.5, 101), abs=1)  # an iris, as seen in the photo
    assert landmarks[1, 2] < landmarks[234, 2]  # the tip of the nose is nearer than the ear


def test_an_image_too_small_for_a_face_shows_nobody():
    assert find_faces(Image.new("RGB", (1, 1))) == []
