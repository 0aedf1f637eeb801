"""EchoMimic's published algorithm on our networks and attention kernels, for `benchmarks.echomimic`.

One window a forward; the portrait's keys and values projected again for every frame, window and step; with
guidance both halves in one forward, the unconditional one attending twice and to real zeros. The pictures
are the same up to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor

from models.echomimic.networks.attention import AUDIO_GAIN, BlockContext, TransformerBlock
from models.echomimic.networks.denoiser import DenoisingNet
from models.echomimic.networks.reference import Bank
from models.echomimic.sampler import Conditioning, OnProgress, denoise
from models.params import GenerationParams


def published_denoise(
    denoiser: DenoisingNet,
    bank: Bank,
    conditioning: Conditioning,
    noise: Tensor,
    params: GenerationParams,
    on_progress: OnProgress,
) -> Tensor:
    """As `sampler.denoise`, the published way.

    Args:
        denoiser: see `sampler.denoise`.
        bank: what the reference net gave.
        conditioning: its `reference` is not used.
        noise: see `sampler.denoise`.
        params: see `sampler.denoise`.
        on_progress: see `sampler.denoise`.
    """
    with _published_ways(bank):
        return denoise(denoiser, conditioning, noise, params, on_progress, window_batch=1)


@contextmanager
def _published_ways(bank: Bank) -> Iterator[None]:
    rounded = tuple(states.to(torch.float16) for states in bank)

    def self_attention(block: TransformerBlock, x: Tensor, context: BlockContext) -> Tensor:
        portrait = rounded[block.layer].to(x.dtype).expand(len(x), -1, -1)
        both = block.attn1(x, block.attn1.keys_values(torch.cat([x, portrait], dim=1)))
        if not context.guided:
            return both
        half = x[: len(x) // 2]
        uncond = block.attn1(half, block.attn1.keys_values(half))
        return torch.cat([uncond, both[len(half) :]])

    def cross_attention(block: TransformerBlock, x: Tensor, audio: Tensor, guided: bool) -> Tensor:
        both = torch.cat([torch.zeros_like(audio), audio]) if guided else audio
        return x + AUDIO_GAIN * block._attend_to(both, x)

    def add_face(_net: DenoisingNet, x: Tensor, face: Tensor, guided: bool) -> Tensor:
        face = face.expand(len(x), -1, -1, -1)
        if guided:
            x, face = torch.cat([x, x]), torch.cat([torch.zeros_like(face), face])
        return x + face

    with (
        patch.object(TransformerBlock, "_self_attention", self_attention),
        patch.object(TransformerBlock, "_cross_attention", cross_attention),
        patch.object(DenoisingNet, "_add_face", add_face),
    ):
        yield
