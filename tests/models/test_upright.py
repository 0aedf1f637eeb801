import numpy as np
import pytest
from PIL import Image
from skimage.data import brick, camera, coffee, colorwheel, grass

from models.upright import turn_upright

# Pillow turns counterclockwise.
LYING = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


@pytest.fixture(scope="module")
def profile_image():
    """A man seen from the side, with a camera; grey, 512×512 (skimage's camera)."""
    return Image.fromarray(camera()).convert("RGB")


@pytest.mark.parametrize("degrees", LYING)
def test_a_lying_photo_is_turned_and_its_face_is_where_it_was(degrees, astronaut_image):
    upright = turn_upright(astronaut_image)
    turned = turn_upright(astronaut_image.transpose(LYING[degrees]))

    assert (upright.turned, turned.turned) == (0, degrees)
    assert turned.image.tobytes() == astronaut_image.tobytes()
    assert np.abs(turned.faces[0].landmarks - upright.faces[0].landmarks).max() == 0


@pytest.mark.parametrize("degrees", LYING)
@pytest.mark.parametrize("side", [128, 1600])
def test_so_is_a_small_and_a_large_one_that_is_mirrored(degrees, side, astronaut_image):
    photo = astronaut_image.resize((side, side)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    assert turn_upright(photo.transpose(LYING[degrees])).turned == degrees


@pytest.mark.parametrize("degrees", LYING)
def test_so_is_one_with_a_small_face_and_one_that_is_grey_and_dark(degrees, astronaut_image):
    scene = Image.fromarray(coffee()).resize((1600, 1200))
    scene.paste(astronaut_image.crop((150, 40, 300, 210)).resize((106, 120)), (900, 500))
    dark = astronaut_image.convert("L").point(lambda value: value // 3).convert("RGB")

    assert turn_upright(scene.transpose(LYING[degrees])).turned == degrees
    assert turn_upright(dark.transpose(LYING[degrees])).turned == degrees


@pytest.mark.parametrize("degrees", LYING)
def test_so_is_a_profile(degrees, profile_image):
    assert turn_upright(profile_image.transpose(LYING[degrees])).turned == degrees


@pytest.mark.parametrize("degrees", [-40, -20, 0, 20, 40])
def test_a_tilted_face_stays_as_it_is(degrees, astronaut_image):
    assert turn_upright(astronaut_image.rotate(degrees)).turned == 0


@pytest.mark.parametrize(("degrees", "turned"), [(60, 90), (-60, 270)])
def test_one_tilted_further_is_turned(degrees, turned, astronaut_image):
    upright = turn_upright(astronaut_image.rotate(degrees))

    assert upright.turned == turned
    assert abs(upright.faces[0].roll) < 45


@pytest.mark.parametrize("scene", [coffee, brick, grass, colorwheel], ids=lambda scene: scene.__name__)
def test_finds_nobody_in_things_and_textures_whichever_way_they_are_turned(scene):
    photo = Image.fromarray(scene()).convert("RGB")
    found = turn_upright(photo)

    assert (found.faces, found.turned, found.image) == ([], 0, photo)


@pytest.mark.parametrize("photo", ["profile_image", "astronaut_image"])
def test_a_photo_that_is_upright_is_not_turned(photo, request):
    assert turn_upright(request.getfixturevalue(photo)).turned == 0
