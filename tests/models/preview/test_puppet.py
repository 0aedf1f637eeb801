"""A posed portrait: what moves, what stays, and how it looks up close."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.face import find_faces
from models.params import GenerationParams
from models.portrait import Portrait, load_portrait
from models.preview.mouth import LARGEST_OPENING
from models.preview.pose import HeadPose, Pose
from models.preview.puppet import Puppet

SWAY = HeadPose(right=0.01, up=0.005, roll=0.01, yaw=0.05, pitch=0.05)


def puppet_of(portrait: Portrait) -> Puppet:
    assert portrait.landmarks is not None
    return Puppet(portrait.image, portrait.landmarks)


def load(image: Image.Image, folder: Path, params: GenerationParams) -> Portrait:
    image.save(folder / "portrait.png")
    return load_portrait(folder / "portrait.png", params)


@pytest.fixture(scope="module")
def smiling(portrait: Portrait) -> Puppet:
    """Its portrait shows teeth."""
    return puppet_of(portrait)


@pytest.fixture(scope="module")
def closed(closed_lips: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Puppet:
    """Its portrait has closed lips."""
    return puppet_of(load(closed_lips, tmp_path_factory.mktemp("closed"), GenerationParams()))


@pytest.mark.parametrize("opening", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("width", [-0.8, 0.0, 0.8])
@pytest.mark.parametrize("name", ["smiling", "closed"])
def test_the_lips_part_as_far_as_asked(
    name: str, width: float, opening: float, request: pytest.FixtureRequest
) -> None:
    puppet: Puppet = request.getfixturevalue(name)
    asked = LARGEST_OPENING * opening * (1 - 0.3 * max(0, -width))
    drawn = puppet.mouth.take(Pose(opening=opening, width=width)).slit.opening
    assert drawn == pytest.approx(asked, abs=0.002)


def test_closed_lips_at_rest_are_the_portrait_itself(closed: Puppet) -> None:
    assert not closed.lips.parted
    picture = closed.draw(Pose())
    portrait = closed.source[1::3, 1::3]
    assert np.abs(picture.astype(int) - portrait).max() <= 1


def test_closing_a_smile_hides_the_teeth(smiling: Puppet, portrait: Portrait) -> None:
    def brightest_grey(picture: np.ndarray) -> float:
        x, y = np.round(smiling.frame.origin).astype(int)
        mouth = picture[y - 10 : y + 40, x - 50 : x + 50].astype(int)
        grey = np.ptp(mouth, axis=-1) < 40
        return float(grey.mean())

    assert brightest_grey(smiling.draw(Pose())) < 0.3 * brightest_grey(portrait.image)


def test_an_open_mouth_is_dark_inside_below_bright_teeth(closed: Puppet) -> None:
    picture = closed.draw(Pose(opening=1.0))
    slit = closed.mouth.take(Pose(opening=1.0)).slit
    upper, lower = slit.upper[20], slit.lower[20]
    column = np.round(closed.frame.to_pixels(np.linspace(upper, lower, 20))).astype(int)
    brightness = picture[column[:, 1], column[:, 0]].mean(axis=-1)
    assert brightness[3:8].mean() > 2.5 * brightness[10:16].mean()


def test_the_jaw_goes_down_and_the_nose_stays(smiling: Puppet) -> None:
    rest, ah = (smiling.draw(Pose(opening=opening)).astype(int) for opening in (0.0, 1.0))
    nose, chin = np.round(smiling.frame.to_pixels(np.array([[0, -0.2], [0, 0.22]]))).astype(int)
    changed = np.abs(ah - rest).mean(axis=-1)
    assert changed[nose[1] - 15 : nose[1] + 5, nose[0] - 20 : nose[0] + 20].mean() < 1.5
    assert changed[chin[1] - 20 : chin[1] + 20, chin[0] - 40 : chin[0] + 40].mean() > 3


def test_sharpness_does_not_breathe_with_the_sway(smiling: Puppet) -> None:
    """The variance of the Laplacian, while the head goes from one pixel to the next and on."""
    x, y = np.round(smiling.frame.origin).astype(int)
    face = slice(y - 200, y + 60), slice(x - 100, x + 100)

    def sharpness(shift: float) -> float:
        sway = HeadPose(right=shift / smiling.frame.unit, up=shift / smiling.frame.unit)
        gray = cv2.cvtColor(smiling.draw(Pose(head=sway))[face], cv2.COLOR_RGB2GRAY)
        return float(cv2.Laplacian(gray.astype(np.float32), cv2.CV_32F).var())

    values = [sharpness(shift) for shift in np.arange(0, 2, 0.125)]
    assert min(values) > 0.9 * max(values)


def test_the_sway_leaves_the_edges_of_the_picture_alone(smiling: Puppet) -> None:
    rest, swayed = smiling.draw(Pose()), smiling.draw(Pose(head=SWAY))
    border = np.ones(rest.shape[:2], bool)
    border[4:-4, 4:-4] = False
    assert np.abs(rest[border].astype(int) - swayed[border]).max() <= 2
    assert np.abs(rest.astype(int) - swayed).mean() > 1


def test_a_blink_changes_the_eyes_and_nothing_else(smiling: Puppet) -> None:
    changed = np.abs(smiling.draw(Pose()).astype(int) - smiling.draw(Pose(blink=1.0))).max(axis=-1) > 8
    assert len(smiling.eyelids) == 2
    for lid in smiling.eyelids:
        assert changed[lid.box.slices].mean() > 0.1
        changed[lid.box.slices] = False
    assert not changed.any()


def test_nobody_blinks_through_dark_glasses(astronaut_image: Image.Image, tmp_path: Path) -> None:
    image = astronaut_image.copy()
    face = find_faces(image)[0].landmarks
    for left, right in ((33, 133), (362, 263)):
        x, y = face[[left, right], :2].mean(axis=0)
        ImageDraw.Draw(image).ellipse((x - 17, y - 13, x + 17, y + 13), fill=(25, 25, 30))
    puppet = puppet_of(load(image, tmp_path, GenerationParams()))
    assert not puppet.eyelids
    assert (puppet.draw(Pose(blink=1.0)) == puppet.draw(Pose())).all()


@pytest.mark.parametrize(("width", "height"), [(128, 128), (1024, 1024), (640, 384), (384, 640), (520, 128)])
def test_any_size_can_be_drawn(astronaut_file: Path, width: int, height: int) -> None:
    puppet = puppet_of(load_portrait(astronaut_file, GenerationParams(width=width, height=height)))
    pose = Pose(opening=1.0, width=-0.5, press=0.3, brow=1.0, blink=0.5, head=SWAY)
    picture = puppet.draw(pose)
    assert picture.shape == (height, width, 3)
    assert (picture != puppet.draw(replace(pose, opening=0.0))).any()


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_face_may_leave_the_picture_or_be_small(astronaut_file: Path, ratio: float) -> None:
    puppet = puppet_of(load_portrait(astronaut_file, GenerationParams(facecrop_dilation_ratio=ratio)))
    slit = puppet.mouth.take(Pose(opening=1.0)).slit
    assert slit.opening == pytest.approx(LARGEST_OPENING, abs=0.002)
    assert puppet.draw(Pose(opening=1.0, blink=1.0, head=SWAY)).shape == (512, 512, 3)
