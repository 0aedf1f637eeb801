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

from models.echomimic import sampler
from models.echomimic.attention import KeyValue, TransformerBlock
from models.echomimic.networks import Networks
from models.echomimic.pipeline import denoised
from models.echomimic.reference import Bank
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
    with _published_ways(bank, guided=sampling.cfg > 1):
        return denoised(networks, told, noise, replace(sampling, window_batch=1), tick)


@contextmanager
def _published_ways(bank: Bank, *, guided: bool) -> Iterator[None]:
    rounded = tuple(states.to(torch.float16) for states in bank)

    def look(block: TransformerBlock, x: Tensor, _reference: tuple[KeyValue, ...] | None) -> Tensor:
        portrait = rounded[block.layer].to(x.dtype).expand(len(x), -1, -1)
        seen = block.attn1(x, block.attn1.keys_values(torch.cat([x, portrait], dim=1)))
        if not guided:
            return seen
        half = x[: len(x) // 2]
        alone = block.attn1(half, block.attn1.keys_values(half))
        return torch.cat([alone, seen[len(half) :]])

    with patch.object(TransformerBlock, "_look", look), patch.object(sampler, "_Forward", _Forward):
        yield


class _Forward(sampler._Forward):
    """Guidance in one forward pass, the unconditional half first."""

    def __call__(self, frames: Tensor) -> Tensor:
        if self.cfg <= 1:
            return super().__call__(frames)
        sample = self.latents[frames].to(self.denoiser.dtype)
        audio = self.conditioning.audio.of(frames).to(sample.dtype)
        face = self.conditioning.face.expand(frames.numel(), -1, -1, -1)
        velocity: Tensor = self.denoiser(
            torch.cat([sample, sample]),
            self.timestep,
            audio=torch.cat([torch.zeros_like(audio), audio]),
            face=torch.cat([torch.zeros_like(face), face]),
            reference=self.conditioning.reference,
        )
        unguided, guided = velocity.float().chunk(2)
        return unguided + self.cfg * (guided - unguided)
