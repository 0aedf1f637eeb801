"""What fits on the device: how much of a video at once, which networks, and what smaller videos.

Knows nothing of stages; a trial tells what one piece of work takes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from models.echomimic.networks.config import Architecture
from models.echomimic.windows import windows
from models.params import LIMITS, GenerationParams

SPARED = 0.2  # of the free memory: other sizes of the same work fragment it

PIXELS = 512 * 512

# Of all frames in one forward pass. On CUDA a hundred of 512² are 100 TFLOP for the denoiser: no kernel
# launch shows beside that, and no tensor has 2³¹ elements, beyond which some kernels are slower or fail. On
# the CPU only small pictures gain: three windows at once are 1.5 times as fast as one at 64², 1.17 at 128².
MOST_PIXELS_DENOISED = {"cuda": 96 * PIXELS, "cpu": 36 * 128 * 128}
MOST_PIXELS_DECODED = {"cuda": 16 * PIXELS, "cpu": 128 * 128}

# Sequences of one attention over time, one for every latent pixel: CUDA's grids end here in their second
# dimension, in which fused kernels lay the batch out (pytorch/pytorch#146704).
MOST_SEQUENCES = 2**16 - 1

FEWEST_FRAMES = 2  # a window of one frame knows no motion
STEPS_DOWN = (0.75, 0.5, 0.25)  # of the sides


def most_windows(architecture: Architecture, params: GenerationParams, frames: int, kind: str) -> int:
    """Windows of a video in one forward pass, 1 or more.

    Args:
        architecture: of the networks.
        params: the numbers of the video.
        frames: that are denoised.
        kind: of device, "cuda" or "cpu".
    """
    ring = windows(frames, params.context_frames, params.context_overlap)
    halves = 2 if params.cfg > 1 else 1  # guidance has an unconditional one
    pixels = params.width * params.height * halves
    sequences = pixels // architecture.latent_scale**2
    most = MOST_PIXELS_DENOISED[kind] // (pixels * len(ring[0]))
    return max(min(most, MOST_SEQUENCES // sequences, len(ring)), 1)


def most_pictures(params: GenerationParams, frames: int, kind: str) -> int:
    """Pictures of a video that are decoded in one forward pass, 1 or more; see `most_windows`."""
    return max(min(MOST_PIXELS_DECODED[kind] // (params.width * params.height), frames), 1)


def pieces_at_once(device: torch.device, one: Callable[[], object], most: int) -> int:
    """How many pieces of work fit into the memory that is free.

    Args:
        device: where the work is done; off CUDA `most` is small, and there is no trial.
        one: does one piece, its result dropped.
        most: where more at once no longer pays; 1 needs no trial.

    Returns:
        1 to `most`.
    """
    if device.type != "cuda" or most == 1:
        return most
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    one()
    cost = torch.cuda.max_memory_allocated(device) - before
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return fitting(free + cached, cost, most)


def fitting(free: int, cost: int, most: int) -> int:
    """Pieces of `cost` bytes in `free` bytes, some of them spared: 1 to `most`."""
    return min(max(int(free * (1 - SPARED)) // max(cost, 1), 1), most)


def ran_out(error: RuntimeError) -> bool:
    """Whether this error means that memory was asked for and not there; libraries say it in other words."""
    words = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


@contextmanager
def visiting(device: torch.device, *networks: nn.Module) -> Iterator[None]:
    """Have networks on a device while the block runs.

    Their tensors also stay where they were, so that nothing is copied back.
    """
    with ExitStack() as homes:
        for network in networks:
            homes.callback(network.load_state_dict, network.state_dict(), assign=True)
            network.to(device)
        yield


@dataclass(frozen=True)
class Less:
    """Numbers that take less memory.

    Attributes:
        params: the numbers.
        field: what was made smaller.
        words: it, as the user is told.
    """

    params: GenerationParams
    field: str
    words: str


def smaller(params: GenerationParams, architecture: Architecture) -> Iterator[Less]:
    """First shorter windows, which keep the picture's size; then smaller pictures."""
    yield from _shorter_windows(params)
    yield from _smaller_pictures(params, architecture)


def _shorter_windows(params: GenerationParams) -> Iterator[Less]:
    frames = params.context_frames // 2
    while frames >= FEWEST_FRAMES and frames > params.context_overlap:
        yield Less(replace(params, context_frames=frames), "context_frames", f"context_frames {frames}")
        frames //= 2


def _smaller_pictures(params: GenerationParams, architecture: Architecture) -> Iterator[Less]:
    for share in STEPS_DOWN:
        width, height = (
            int(side * share) // architecture.latent_scale * architecture.latent_scale
            for side in (params.width, params.height)
        )
        if width >= LIMITS.width.least and height >= LIMITS.height.least:
            yield Less(replace(params, width=width, height=height), "width", f"{width} × {height} pixels")
