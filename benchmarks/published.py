"""EchoMimic's published algorithm on our networks and attention kernels, for `benchmarks.echomimic`.

One window a forward; the portrait's keys and values projected again for every frame, window and step; with
guidance both halves in one forward, the unconditional one attending twice and to real zeros. The pictures
are the same up to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import torch
from torch import Tensor

from models.echomimic.networks.attention import AUDIO_GAIN, Conditions, TransformerBlock
from models.echomimic.networks.build import Networks
from models.echomimic.networks.denoiser import DenoisingNet
from models.echomimic.networks.reference import Bank
from models.echomimic.pipeline import denoised
from models.echomimic.sampler import Conditioning, Sampling, Tick


def published_denoised(
    networks: Networks, bank: Bank, told: Conditioning, noise: Tensor, sampling: Sampling, tick: Tick
) -> Tensor:
    """As `pipeline.denoised`, the published way.

    Args:
        networks: those that made `bank` and `told`.
        bank: what the reference net gave.
        told: its `reference` is not used.
        noise: see `pipeline.denoised`.
        sampling: its `window_batch` is not used.
        tick: see `pipeline.denoised`.
    """
    with _published_ways(bank):
        return denoised(networks, told, noise, replace(sampling, window_batch=1), tick)


@contextmanager
def _published_ways(bank: Bank) -> Iterator[None]:
    rounded = tuple(states.to(torch.float16) for states in bank)

    def look(block: TransformerBlock, x: Tensor, conditions: Conditions) -> Tensor:
        portrait = rounded[block.layer].to(x.dtype).expand(len(x), -1, -1)
        seen = block.attn1(x, block.attn1.keys_values(torch.cat([x, portrait], dim=1)))
        if not conditions.guided:
            return seen
        half = x[: len(x) // 2]
        alone = block.attn1(half, block.attn1.keys_values(half))
        return torch.cat([alone, seen[len(half) :]])

    def listen(block: TransformerBlock, x: Tensor, audio: Tensor, guided: bool) -> Tensor:
        heard = torch.cat([torch.zeros_like(audio), audio]) if guided else audio
        return x + AUDIO_GAIN * block._heard(x, heard)

    def enter(net: DenoisingNet, sample: Tensor, face: Tensor, guided: bool) -> Tensor:
        face = face.expand(len(sample), -1, -1, -1)
        if guided:
            sample, face = torch.cat([sample, sample]), torch.cat([torch.zeros_like(face), face])
        return net.conv_in(sample) + face

    with (
        patch.object(TransformerBlock, "_look", look),
        patch.object(TransformerBlock, "_listen", listen),
        patch.object(DenoisingNet, "_enter", enter),
    ):
        yield
