"""The shapes that others follow from."""

import pytest

from models.echomimic.networks.config import PRESETS, exact_div


def test_a_latent_is_eight_pixels_wide_in_every_preset() -> None:
    assert {architecture.latent_scale for architecture in PRESETS.values()} == {8}


def test_a_division_that_leaves_something_is_refused() -> None:
    assert exact_div(3000, 2) == 1500
    with pytest.raises(ValueError, match="3000 is not divisible by 7"):
        exact_div(3000, 7)
