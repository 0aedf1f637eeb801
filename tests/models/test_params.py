import json
import pickle
from dataclasses import asdict, fields
from fractions import Fraction

import pytest

from models.echomimic.networks.config import OFFICIAL
from models.echomimic.weights.variants import DEFAULTS
from models.params import LIMITS, GenerationParams, Range


def test_every_number_has_a_range():
    assert [field.name for field in fields(LIMITS)] == [field.name for field in fields(GenerationParams)]


@pytest.mark.parametrize("params", [GenerationParams(), *DEFAULTS.values()])
def test_defaults_are_within_their_ranges(params):
    for name, number in asdict(params).items():
        limits: Range = getattr(LIMITS, name)
        assert limits.least <= number <= limits.most, name
        assert number % (limits.multiple_of or 1) == 0 or limits.multiple_of is None, name


NTSC = GenerationParams(width=256, fps=Fraction(30_000, 1001))


def test_a_whole_rate_is_flat_as_ever():
    assert GenerationParams(fps=25).flat() == asdict(GenerationParams(fps=25))


def test_a_rate_that_is_not_whole_is_flat_as_the_nearest_whole_one_and_the_exact_one():
    flat = NTSC.flat()

    assert (flat["fps"], flat["exact_fps"]) == (30, "30000/1001")
    assert json.loads(json.dumps(flat)) == flat


@pytest.mark.parametrize("params", [GenerationParams(), NTSC])
def test_the_flat_form_is_read_back(params):
    assert GenerationParams.from_flat(params.flat()) == params
    assert pickle.loads(pickle.dumps(params)) == params


def test_what_another_release_knows_is_ignored_and_what_it_does_not_gets_its_default():
    assert GenerationParams.from_flat({"width": 256, "mood": "sad"}) == GenerationParams(width=256)


def test_the_ends_of_a_range_are_multiples_themselves():
    for limits in (LIMITS.width, LIMITS.height):
        assert limits.multiple_of is not None
        assert limits.least % limits.multiple_of == limits.most % limits.multiple_of == 0


def test_sides_and_windows_are_what_the_published_network_can_do():
    assert LIMITS.width.multiple_of == LIMITS.height.multiple_of == OFFICIAL.latent_scale
    assert LIMITS.context_frames.most == OFFICIAL.max_frames
