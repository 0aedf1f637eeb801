"""Kernels made for these networks and one size of picture, by torch.compile.

Knows nothing of tasks. They fit any number of windows, frames and pictures (on the CPU, where convolutions of
16 pictures and more are others, of the numbers that were rehearsed); for another width or height the networks
run as they do without, so that no task ever waits for a compiler.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.echomimic.networks.build import Networks

RUN_ONLY = "eager_on_recompile"


def compile_networks(networks: Networks, rehearse: Callable[[], object]) -> None:
    """Compile the denoiser and the VAE's decoder, in place.

    Args:
        networks: with their weights.
        rehearse: runs them on what they are to be compiled for.
    """
    forwards = [
        _CompiledForward(networks.denoiser, varying=2),
        _CompiledForward(networks.vae.decoder, varying=1),
    ]
    rehearse()
    for forward in forwards:
        forward.ready = True


class _CompiledForward:
    """Takes the place of a network's `forward`.

    Args:
        network: hooks and tensors stay its own.
        varying: how many leading dimensions of its input (and of `audio`) differ from call to call.
    """

    def __init__(self, network: nn.Module, varying: int):
        self.ready = False
        self._forward: Callable[..., Tensor] = torch.compile(network.forward, dynamic=False)
        self._varying = list(range(varying))
        network.forward = self

    def __call__(self, x: Tensor, *others: Any, **told: Any) -> Tensor:
        for tensor in (x, told.get("audio")):
            if tensor is not None:
                torch._dynamo.mark_dynamic(tensor, self._varying)
        with torch.compiler.set_stance(RUN_ONLY if self.ready else "default"):
            return self._forward(x, *others, **told)
