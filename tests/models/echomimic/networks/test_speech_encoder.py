"""Whisper's encoder, read between its layers."""

import numpy as np
import pytest
import torch

from models.echomimic.networks.build import Networks


def test_states_are_read_before_the_final_norm(networks: Networks) -> None:
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(1))
    last = networks.speech.states(mel)[:50, -1].numpy()
    assert np.abs(last.std(axis=1) - 1).max() > 0.1


@pytest.mark.parametrize("shape", [(2, 80, 3000), (1, 80, 2)])
def test_another_shape_is_refused_with_its_numbers(networks: Networks, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"mel is \[{shape[0]}, 80, {shape[2]}\], expected \[1, 80, 3000\]"):
        networks.speech.states(torch.zeros(shape))
