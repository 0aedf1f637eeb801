"""The network that predicts, at every step, the noise in a window of frames.

Knows nothing of schedules, guidance scales or which windows there are.
"""

import torch
from torch import Tensor, nn

from models.echomimic.networks.attention import BlockContext, KeyValue
from models.echomimic.networks.config import Architecture
from models.echomimic.networks.reference import Bank
from models.echomimic.networks.unet import RESNET_NORM_EPS, UNet


class DenoisingNet(UNet):
    """A UNet that attends to the speech, to the portrait and along time."""

    def __init__(self, architecture: Architecture):
        super().__init__(architecture, cross_attention=True, motion=True)
        first = architecture.channels[0]
        self.conv_norm_out = nn.GroupNorm(architecture.norm_groups, first, eps=RESNET_NORM_EPS)
        self.conv_out = nn.Conv2d(first, architecture.latent_channels, kernel_size=3, padding=1)

    def project(self, bank: Bank) -> tuple[KeyValue, ...]:
        """Keys and values of the portrait for every layer; computed once per task, because they never change.

        The published pipeline stores the bank as float16, whatever precision it computes in; the rounding is
        part of its result.
        """
        return tuple(
            block.attn1.keys_values(states.to(torch.float16).to(self.dtype))
            for block, states in zip(self.transformer_blocks(), bank, strict=True)
        )

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        *,
        audio: Tensor,
        face: Tensor,
        reference: tuple[KeyValue, ...],
        guided: bool = False,
    ) -> Tensor:
        """Predict the velocity (Salimans & Ho 2022) of each frame.

        Args:
            sample: [windows, frames, 4, height, width], noisy latents; at most `Architecture.max_frames`
                frames per window.
            timestep: [1], the same for all.
            audio: [windows, frames, tokens, 384].
            face: [1 or windows × frames, first channels, height, width], added after `conv_in`.
            reference: see `project`.
            guided: predict twice, first without audio, face and reference: the unconditional half of
                guidance (Ho & Salimans 2022).

        Returns:
            Like `sample`; [2 × windows, …] with guidance, the unconditional half first.

        Raises:
            ValueError: a shape does not fit that of `sample` and would be broadcast.
        """
        _check_shapes(sample, timestep, audio, face)
        frames = sample.shape[1]
        x = self._add_face(self.conv_in(sample.flatten(0, 1)), face, guided)
        context = BlockContext(self.embed_time(timestep), frames, audio.flatten(0, 1), reference, guided)
        x = self.body(x, context)
        return self.conv_out(nn.functional.silu(self.conv_norm_out(x))).unflatten(0, (-1, frames))

    def _add_face(self, x: Tensor, face: Tensor, guided: bool) -> Tensor:
        return torch.cat([x, x + face]) if guided else x + face


def _check_shapes(sample: Tensor, timestep: Tensor, audio: Tensor, face: Tensor) -> None:
    windows, frames, _, *size = sample.shape
    if timestep.shape != (1,):
        raise ValueError(f"timestep is {list(timestep.shape)}, expected [1]")
    if audio.shape[:2] != sample.shape[:2]:
        raise ValueError(f"audio is {list(audio.shape)}, expected [{windows}, {frames}, tokens, channels]")
    if face.shape[0] not in (1, windows * frames) or list(face.shape[2:]) != size:
        raise ValueError(
            f"face is {list(face.shape)}, expected [1 or {windows * frames}, channels, {size[0]}, {size[1]}]"
        )
