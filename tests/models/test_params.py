from dataclasses import asdict, fields

import pytest

from models.echomimic.networks.config import OFFICIAL
from models.echomimic.weights.variants import DEFAULTS
from models.params import LIMITS, GenerationParams, Range


def test_every_number_has_a_range():
    names = [field.name for field in fields(GenerationParams) if field.name != "label"]
    assert [field.name for field in fields(LIMITS)] == names


@pytest.mark.parametrize("params", [GenerationParams(), *DEFAULTS.values()])
def test_defaults_are_within_their_ranges(params):
    for name in asdict(LIMITS):
        number = getattr(params, name)
        limits: Range = getattr(LIMITS, name)
        assert limits.least <= number <= limits.most, name
        assert number % (limits.multiple_of or 1) == 0 or limits.multiple_of is None, name


def test_the_ends_of_a_range_are_multiples_themselves():
    for limits in (LIMITS.width, LIMITS.height):
        assert limits.multiple_of is not None
        assert limits.least % limits.multiple_of == limits.most % limits.multiple_of == 0


def test_sides_and_windows_are_what_the_published_network_can_do():
    assert LIMITS.width.multiple_of == LIMITS.height.multiple_of == OFFICIAL.latent_scale
    assert LIMITS.context_frames.most == OFFICIAL.max_frames
