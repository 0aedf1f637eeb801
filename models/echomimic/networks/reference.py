"""The reference net, which turns the portrait into what the denoiser attends to.

Knows nothing of frames, audio or time; it runs once per task.
"""

from functools import partial

import torch
from torch import Tensor

from models.echomimic.networks.attention import BlockContext
from models.echomimic.networks.config import Architecture
from models.echomimic.networks.unet import UNet

Bank = tuple[Tensor, ...]  # normed hidden states [1, tokens, channels] before each spatial self-attention


class ReferenceNet(UNet):
    """A UNet without audio, motion and output layer; its hidden states are the result."""

    def __init__(self, architecture: Architecture):
        super().__init__(architecture, cross_attention=False, motion=False)

    def forward(self, latents: Tensor) -> Bank:
        """Collect the input of each self-attention.

        Args:
            latents: [1, 4, height, width], the encoded portrait, free of noise.

        Returns:
            One tensor per spatial self-attention, in the order in which the data passes them.

        Raises:
            ValueError: there is more than one portrait; they would be taken for one per frame.
        """
        if latents.shape[0] != 1:
            raise ValueError(f"the reference latents are {list(latents.shape)}, expected one portrait")
        bank: list[Tensor] = []
        keep = partial(_keep, bank)
        taps = [block.norm1.register_forward_hook(keep) for block in self.transformer_blocks()]
        try:
            clean = torch.zeros(1, device=latents.device)  # timestep 0
            self.body(self.conv_in(latents), BlockContext(self.embed_time(clean)))
        finally:
            for tap in taps:
                tap.remove()
        return tuple(bank)


def _keep(bank: list[Tensor], _module: object, _inputs: object, output: Tensor) -> None:
    bank.append(output)
