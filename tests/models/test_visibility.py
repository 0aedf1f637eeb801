"""Warnings about faces that an engine cannot animate well, and none about the others."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from skimage.data import camera, coffee

from models.face import find_faces
from models.visibility import is_turned_away, mouth_is_covered

MOUTH = (180, 135, 275, 195)  # nose to chin, in the astronaut's photo
COLOURS = {
    "surgical": (150, 190, 220),
    "white": (240, 240, 240),
    "black": (20, 20, 20),
    "skin": (214, 170, 150),
    "red": (180, 40, 40),
    "green": (60, 120, 60),
}


def covered(photo: Image.Image, colour: tuple[int, int, int], shape: str = "rectangle") -> Image.Image:
    photo = photo.copy()
    getattr(ImageDraw.Draw(photo), shape)(MOUTH, fill=colour)
    return photo


def changed(photo: Image.Image, factor: np.ndarray | float) -> Image.Image:
    """Its mouth multiplied by this."""
    x0, y0, x1, y1 = MOUTH
    pixels = np.asarray(photo).astype(float)
    pixels[y0 : y1 + 1, x0 : x1 + 1] *= factor
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def as_jpeg(photo: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def grey(photo: Image.Image) -> Image.Image:
    return photo.convert("L").convert("RGB")


def small_in_a_scene(photo: Image.Image) -> Image.Image:
    scene = Image.fromarray(coffee()).resize((1600, 1200))
    scene.paste(photo.crop((150, 40, 300, 210)).resize((106, 120)), (900, 500))
    return scene


UNCOVERED = {
    "as it is": lambda photo: photo,
    "mirrored": lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "grey": grey,
    "small": lambda photo: photo.resize((160, 160)),
    "small in a scene": small_in_a_scene,
    "large": lambda photo: photo.resize((2560, 2560)),
    "dark": lambda photo: ImageEnhance.Brightness(photo).enhance(0.12),
    "bright": lambda photo: ImageEnhance.Brightness(photo).enhance(1.6),
    "flat": lambda photo: ImageEnhance.Contrast(photo).enhance(0.3),
    "out of focus": lambda photo: photo.filter(ImageFilter.GaussianBlur(2)),
    "in yellow light": lambda photo: Image.fromarray((np.asarray(photo) * [1, 0.85, 0.5]).astype(np.uint8)),
    "in blue light": lambda photo: Image.fromarray((np.asarray(photo) * [0.5, 0.7, 1]).astype(np.uint8)),
    "tilted left": lambda photo: photo.rotate(30),
    "tilted right": lambda photo: photo.rotate(-30),
    "a poor JPEG": lambda photo: as_jpeg(photo, 10),
}


@pytest.mark.parametrize("change", UNCOVERED)
def test_a_face_from_the_front_raises_no_warning(change, astronaut_image):
    photo = UNCOVERED[change](astronaut_image)
    face, *_ = find_faces(photo)

    assert not mouth_is_covered(photo, face)
    assert not is_turned_away(face)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("shape", ["rectangle", "ellipse"])
def test_a_mask_of_any_colour_covers_the_mouth(shape, colour, astronaut_image):
    masked = covered(astronaut_image, COLOURS[colour], shape)

    for photo in (masked, grey(masked), as_jpeg(masked, 80), masked.resize((1500, 1500))):
        (face,) = find_faces(photo)
        assert mouth_is_covered(photo, face)


def test_a_mask_with_shades_folds_or_noise_covers_the_mouth(astronaut_image):
    masked = covered(astronaut_image, COLOURS["surgical"])
    height, width = MOUTH[3] - MOUTH[1] + 1, MOUTH[2] - MOUTH[0] + 1
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    shades = np.sqrt(1 - 0.4 * x**2 - 0.3 * y**2)[..., None]
    folds = np.where(np.arange(height) % 9 < 2, 0.93, 1.0)[:, None, None]
    noise = np.random.default_rng(0).normal(1, 0.05, (height, width, 3))
    for pattern in (shades, folds, noise):
        photo = changed(masked, pattern)
        (face,) = find_faces(photo)
        assert mouth_is_covered(photo, face)


def test_skin_in_front_of_the_mouth_covers_it(astronaut_image):
    forehead = astronaut_image.crop((205, 60, 250, 88)).resize((96, 61))
    photo = astronaut_image.copy()
    photo.paste(forehead, MOUTH[:2])
    (face,) = find_faces(photo)

    assert mouth_is_covered(photo, face)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("side", [256, 512, 1500])
def test_a_profile_is_turned_away(side, mirrored):
    photo = Image.fromarray(camera()).convert("RGB").resize((side, side))
    if mirrored:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    face, *_ = find_faces(photo)

    assert is_turned_away(face)
    assert (face.yaw > 0) is not mirrored
