"""Colours as they are on an sRGB screen, whatever profile the file has."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from models.image_decoder import decode
from tests.heif import QUARTER_TURN, SAMPLE, with_property
from tests.profiles import (
    ADOBE_PRIMARIES,
    P3_PRIMARIES,
    SRGB_PRIMARIES,
    grey_profile,
    profile,
    rgb_profile,
    swapped_inks,
)

RED, GREEN, BLUE = SRGB_PRIMARIES
P3 = rgb_profile(P3_PRIMARIES)
PROFILES = {
    "Display P3": P3,
    "Adobe RGB": rgb_profile(ADOBE_PRIMARIES, gamma=2.2),
    "red and green swapped": rgb_profile((GREEN, RED, BLUE)),
    "linear light": rgb_profile(SRGB_PRIMARIES, gamma=1.0),
}
FORMATS: dict[str, dict[str, Any]] = {
    "jpg": {"quality": 97, "subsampling": 0},
    "png": {},
    "webp": {"lossless": True},
    "tiff": {},
    "avif": {"quality": 95, "subsampling": "4:4:4"},
}


@pytest.fixture(scope="module")
def photo(astronaut_image):
    return astronaut_image.crop((100, 0, 360, 260))


def expressed_in(image: Image.Image, icc: bytes) -> Image.Image:
    """The same colours, in the numbers of a profile."""
    return ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), io.BytesIO(icc))


def shown(image: Image.Image, path: Path, **options: Any) -> np.ndarray:
    """What becomes of an image that is saved like this."""
    image.save(path, **options)
    return read(path)


def read(path: Path) -> np.ndarray:
    return np.asarray(decode(path, draft=False)[0])


def difference(pixels: np.ndarray, image: Image.Image) -> float:
    return float(np.abs(pixels.astype(int) - np.asarray(image.convert("RGB"))).mean())


def difference_of_tones(pixels: np.ndarray, image: Image.Image) -> float:
    """Of squares of about 16 pixels, so that what a format loses in each of them does not count."""
    squares = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BOX)
    return difference(np.asarray(squares), image.resize((16, 16), Image.Resampling.BOX))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", PROFILES)
def test_looks_as_its_profile_says(name, suffix, photo, tmp_path):
    icc = PROFILES[name]
    stored = expressed_in(photo, icc)

    pixels = shown(stored, tmp_path / f"photo.{suffix}", icc_profile=icc, **FORMATS[suffix])

    assert difference_of_tones(pixels, photo) < 0.9
    assert difference_of_tones(np.asarray(stored), photo) > 1.2  # ignoring the profile would not pass


def test_a_heic_looks_as_its_profile_says(photo, tmp_path):
    path = tmp_path / "photo.heic"
    path.write_bytes(with_property(SAMPLE, *QUARTER_TURN))
    pixels, small = read(path), photo.resize((192, 192))

    assert difference(pixels, small) < 4
    for channel in range(3):  # in the numbers of Display P3, red is 4 lower
        assert pixels[..., channel].mean() == pytest.approx(np.asarray(small)[..., channel].mean(), abs=1)


def test_a_profile_of_inks_says_what_they_look_like(photo, tmp_path):
    cyan, magenta, yellow, black = photo.convert("CMYK").split()
    swapped = Image.merge("CMYK", (magenta, cyan, yellow, black))
    icc = swapped_inks()

    with_profile = shown(swapped, tmp_path / "with.jpg", icc_profile=icc, quality=95)
    without = shown(swapped, tmp_path / "without.jpg", quality=95)

    def redness(pixels: np.ndarray) -> float:
        return float((pixels[..., 0].astype(int) - pixels[..., 1]).mean())

    assert redness(with_profile) == pytest.approx(redness(np.asarray(photo)), abs=8)
    assert redness(without) < -10


def test_inks_without_a_profile_are_read_as_before(photo, tmp_path):
    inks = photo.convert("CMYK")

    assert difference(shown(inks, tmp_path / "inks.tiff"), inks) == 0


def test_grey_has_profiles_too(photo, tmp_path):
    grey = photo.convert("L")
    dark = grey.point([round(255 * ((value / 255 + 0.055) / 1.055) ** 2.4) for value in range(256)])

    pixels = shown(dark, tmp_path / "grey.png", icc_profile=grey_profile(1.0))

    assert difference(pixels, grey) < 3
    assert difference(np.asarray(dark.convert("RGB")), grey) > 30


def test_grey_in_the_colours_of_a_screen_is_grey_on_that_screen(photo, tmp_path):
    pixels = shown(photo.convert("L"), tmp_path / "grey.png", icc_profile=rgb_profile(SRGB_PRIMARIES, 1.0))

    assert pixels.mean() > np.asarray(photo.convert("L")).mean() + 30


def test_a_profile_changes_the_colours_of_a_palette_and_leaves_transparency_alone(photo, tmp_path):
    icc = PROFILES["red and green swapped"]
    stored = expressed_in(photo, icc)
    cut_out = stored.convert("RGBA")
    cut_out.paste((0, 0, 0, 0), (0, 0, 260, 30))

    palette = shown(stored.quantize(256), tmp_path / "palette.png", icc_profile=icc)
    pixels = shown(cut_out, tmp_path / "cut-out.png", icc_profile=icc)

    assert difference(palette, photo) < 10
    assert (pixels[:30] == 255).all()
    assert difference(pixels[31:], photo.crop((0, 31, 260, 260))) < 2.5


@pytest.mark.parametrize(
    "icc",
    [
        b"not a profile",
        bytes(1000),
        P3[:200],
        P3[:-40],
        P3[:128] + b"\xff" * (len(P3) - 128),
        P3.replace(b"rXYZ", b"xxxx"),
        grey_profile(1.0),
        swapped_inks(),
        profile(b"9CLR", {}),
        profile(b"RGB ", {}, kind=b"link", space=b"RGB "),
    ],
    ids=[
        "text",
        "zeros",
        "cut in its table",
        "cut at its end",
        "noise",
        "no red",
        "of grey",
        "of inks",
        "of nine inks",
        "from one device to another",
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_profile_that_is_broken_or_of_something_else_is_ignored(suffix, icc, photo, tmp_path):
    plain = shown(photo, tmp_path / f"plain.{suffix}")

    assert (shown(photo, tmp_path / f"photo.{suffix}", icc_profile=icc) == plain).all()


def test_the_profile_of_srgb_changes_nothing_to_speak_of(photo, tmp_path):
    pixels = shown(photo, tmp_path / "photo.png", icc_profile=rgb_profile(SRGB_PRIMARIES))

    assert np.abs(pixels.astype(int) - np.asarray(photo)).max() <= 2
