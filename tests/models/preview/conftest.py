"""Portraits and performances, each rendered once a test run."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
from PIL import Image

from models.params import GenerationParams
from models.portrait import Portrait, load_portrait
from models.preview.pose import Pose
from models.preview.puppet import Puppet
from tests.models.preview import performances
from tests.models.preview.performances import Performance

FACE_CENTRE = (226, 118)  # of the astronaut, pixels


@pytest.fixture(scope="session")
def portrait(astronaut_file: Path) -> Portrait:
    """The astronaut with the default crop: her face fills the picture."""
    return load_portrait(astronaut_file, GenerationParams())


@pytest.fixture(scope="session")
def small_portrait(astronaut_file: Path) -> Portrait:
    """The same, 128 pixels wide."""
    return load_portrait(astronaut_file, GenerationParams(width=128, height=128))


@pytest.fixture(scope="session")
def closed_lips(astronaut_file: Path) -> Image.Image:
    """The astronaut, whose smile shows her teeth, after the engine has closed her lips."""
    params = GenerationParams(width=768, height=768, facecrop_dilation_ratio=1.0)
    wide = load_portrait(astronaut_file, params)
    assert wide.landmarks is not None
    return Image.fromarray(Puppet(wide.image, wide.landmarks).draw(Pose()))


@pytest.fixture(scope="session")
def perform(
    astronaut_image: Image.Image, closed_lips: Image.Image, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Performance]:
    """Renders and watches a clip, with the portrait closed-lipped, flipped or tilted (degrees)."""

    @lru_cache
    def perform_once(
        clip_name: str, closed: bool = False, flip: bool = False, tilt: float = 0.0
    ) -> Performance:
        image = closed_lips if closed else astronaut_image
        if flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if tilt:
            image = image.rotate(tilt, Image.Resampling.BICUBIC, center=FACE_CENTRE, fillcolor="grey")
        return performances.perform(image, clip_name, tmp_path_factory.mktemp("performance"))

    return perform_once
