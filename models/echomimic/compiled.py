"""Kernels that torch.compile makes for these networks and one picture size.

Knows nothing of tasks. The kernels fit any number of windows and frames. (On the CPU, where 16 or more
pictures are convolved differently, they fit only numbers on the same side of 16 as in the warm-up.) For
another width or height the networks run uncompiled, so that no task ever waits for a compiler.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.echomimic.networks.build import Networks

RUN_ONLY = "eager_on_recompile"


def compile_networks(networks: Networks, warm_up: Callable[[], object]) -> None:
    """Compile the denoiser and the VAE's decoder, in place.

    Args:
        networks: the networks, with their weights.
        warm_up: runs them with the sizes for which they are to be compiled.
    """
    forwards = [
        _CompiledForward(networks.denoiser, varying=2),
        _CompiledForward(networks.vae.decoder, varying=1),
    ]
    warm_up()
    for forward in forwards:
        forward.ready = True


class _CompiledForward:
    """Replaces the `forward` of a network.

    Args:
        network: the network, which keeps its hooks and tensors.
        varying: how many leading dimensions of its input (and of `audio`) differ from call to call.
    """

    def __init__(self, network: nn.Module, varying: int):
        self.ready = False
        self._forward: Callable[..., Tensor] = torch.compile(network.forward, dynamic=False)
        self._varying = list(range(varying))
        network.forward = self

    def __call__(self, x: Tensor, *others: Any, **options: Any) -> Tensor:
        for tensor in (x, options.get("audio")):
            if tensor is not None:
                torch._dynamo.mark_dynamic(tensor, self._varying)
        with torch.compiler.set_stance(RUN_ONLY if self.ready else "default"):
            return self._forward(x, *others, **options)
