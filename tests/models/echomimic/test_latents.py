"""Between pictures and latents."""

import numpy as np
import pytest
import torch

from models.echomimic.latents import decode_latents, quantise
from models.echomimic.networks.build import Networks


def test_frames_come_in_blocks_as_uint8_pictures(networks: Networks) -> None:
    blocks = list(decode_latents(networks.vae, torch.zeros(5, 4, 4, 5), batch=2))
    assert [block.shape for block in blocks] == [(2, 32, 40, 3), (2, 32, 40, 3), (1, 32, 40, 3)]
    assert {block.dtype for block in blocks} == {np.dtype(np.uint8)}


@pytest.mark.parametrize(("brightness", "level"), [(0.9999, 254), (199.99 / 255, 199)])
def test_brightness_is_rounded_down_as_published(brightness: float, level: int) -> None:
    assert quantise(torch.full((1, 3, 1, 1), brightness)).unique().tolist() == [level]
