"""The reference net takes one portrait."""

import pytest
import torch

from models.echomimic.networks.build import Networks


def test_several_portraits_are_refused(networks: Networks) -> None:
    with pytest.raises(ValueError, match=r"reference latents are \[2, 4, 4, 4\], expected one portrait"):
        networks.reference(torch.zeros(2, 4, 4, 4))
