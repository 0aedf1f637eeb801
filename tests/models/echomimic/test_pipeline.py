"""From portrait and speech to frames."""

import numpy as np
import pytest
import torch

from models.echomimic.latents import quantise
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import TINY
from models.echomimic.pipeline import check, condition, denoised, pictures
from models.echomimic.sampler import Sampling, starting_noise
from models.errors import ParameterError
from tests.parity.rules import box_mask, picture, speech_signal

SAMPLING = Sampling(steps=1, cfg=1.0, context_frames=4, context_overlap=1)


def test_frames_come_in_blocks_as_uint8_pictures(networks: Networks) -> None:
    voice = speech_signal(8_000, "voice")
    conditioning = condition(networks, picture(40, 32, ""), box_mask(40, 32), voice, fps=24, most_frames=5)
    noise = starting_noise(5, 4, 5, seed=420)
    latents = denoised(networks, conditioning, noise, SAMPLING, tick=lambda share: None)
    blocks = list(pictures(networks, latents, batch=2))
    assert [block.shape for block in blocks] == [(2, 32, 40, 3), (2, 32, 40, 3), (1, 32, 40, 3)]
    assert {block.dtype for block in blocks} == {np.dtype(np.uint8)}


def test_brightness_is_rounded_down() -> None:
    assert quantise(torch.full((1, 3, 1, 1), 0.9999)).unique().tolist() == [254]


@pytest.mark.parametrize(
    ("width", "height", "frame_count", "context", "field"),
    [
        (500, 512, 24, 12, "width"),
        (512, 500, 24, 12, "height"),
        (512, 512, 1, 12, "length"),
        (512, 512, 24, 33, "context_frames"),
        (512, 512, 24, 3, "context_overlap"),
    ],
)
def test_what_the_model_cannot_do_is_refused(
    width: int, height: int, frame_count: int, context: int, field: str
) -> None:
    sampling = Sampling(steps=6, cfg=1.0, context_frames=context, context_overlap=3)
    with pytest.raises(ParameterError) as refused:
        check(TINY, width, height, frame_count, sampling)
    assert refused.value.field == field
    assert refused.value.allowed


def test_what_it_can_do_passes() -> None:
    check(TINY, 504, 512, 2, Sampling(steps=6, cfg=1.0, context_frames=32, context_overlap=3))
