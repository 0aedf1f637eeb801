"""What fits on the device: which networks, how much of a video at once, and which smaller video.

Knows nothing of the stages of a task; a trial run measures what one piece of work needs.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from models.echomimic.networks.config import Architecture
from models.echomimic.windows import windows
from models.errors import OutOfMemory, ParameterError
from models.params import LIMITS, GenerationParams

SPARED = 0.2  # share of the free memory that stays free: work in other sizes fragments it

PIXELS = 512 * 512  # 262,144 in a picture of the default size

# Pixels of all frames in one forward pass. On CUDA a hundred frames of 512² are 100 TFLOP for the denoiser:
# next to that, kernel launches take no time, and no tensor reaches 2³¹ elements, beyond which some kernels
# are slower or fail. On the CPU only small pictures gain: three windows at once are 1.5 times as fast as one
# at 64², 1.17 times at 128².
MAX_PIXELS_DENOISED = {"cuda": 96 * PIXELS, "cpu": 36 * 128 * 128}
MAX_PIXELS_DECODED = {"cuda": 16 * PIXELS, "cpu": 128 * 128}

# Sequences of one attention over time, one for every latent pixel: this is the limit of the second dimension
# of a CUDA grid, along which fused kernels place the batch (pytorch/pytorch#146704).
MAX_SEQUENCES = 2**16 - 1  # 65535

MIN_FRAMES = 2  # a window of one frame has no motion
STEPS_DOWN = (0.75, 0.5, 0.25)  # of the sides


def max_windows(architecture: Architecture, params: GenerationParams, frames: int, device_type: str) -> int:
    """The largest number of windows in one forward pass that still saves time and still works; at least 1.

    Args:
        architecture: of the networks.
        params: the numbers of the video.
        frames: how many are denoised.
        device_type: "cuda" or "cpu".
    """
    ring = windows(frames, params.context_frames, params.context_overlap)
    halves = 2 if params.cfg > 1 else 1  # guidance adds an unconditional one
    pixels = params.width * params.height * halves
    sequences = pixels // architecture.latent_scale**2
    paying = MAX_PIXELS_DENOISED[device_type] // (pixels * len(ring[0]))
    return max(min(paying, MAX_SEQUENCES // sequences, len(ring)), 1)


def max_decoded(params: GenerationParams, frames: int, device_type: str) -> int:
    """The largest number of frames decoded in one forward pass that still saves time; at least 1."""
    return max(min(MAX_PIXELS_DECODED[device_type] // (params.width * params.height), frames), 1)


def batch_size(device: torch.device, trial: Callable[[], object], limit: int) -> int:
    """How many pieces of work fit into free memory.

    Args:
        device: where the work is done; except on CUDA, `limit` is small and there is no trial.
        trial: does one piece of work; its result is dropped.
        limit: see `max_windows` and `max_decoded`; 1 needs no trial.

    Returns:
        1 to `limit`.
    """
    if device.type != "cuda" or limit == 1:
        return limit
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    trial()
    cost = torch.cuda.max_memory_allocated(device) - before
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return fitting(free + cached, cost, limit)


def fitting(free: int, cost: int, limit: int) -> int:
    """How many pieces of `cost` bytes fit into `free` bytes, of which a share is spared: 1 to `limit`."""
    return min(max(int(free * (1 - SPARED)) // max(cost, 1), 1), limit)


def ran_out(error: RuntimeError) -> bool:
    """Whether an error means that the device has too little memory; libraries word it differently."""
    words = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def release(device: torch.device) -> None:
    """Free the memory that nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def visiting(device: torch.device, *networks: nn.Module) -> Iterator[None]:
    """Keep networks on a device while the block runs.

    Their tensors also stay where they were, so that nothing is copied back.
    """
    with ExitStack() as homes:
        for network in networks:
            homes.callback(network.load_state_dict, network.state_dict(), assign=True)
            network.to(device)
        yield


@dataclass(frozen=True)
class Offer:
    """A video that takes less memory.

    Attributes:
        params: its numbers.
        field: which of them was made smaller.
        words: the smaller number, as the user sees it.
    """

    params: GenerationParams
    field: str
    words: str


def smaller(params: GenerationParams, architecture: Architecture) -> Iterator[Offer]:
    """Offers first shorter windows, which keep the picture's size, then smaller pictures."""
    yield from _shorter_windows(params)
    yield from _smaller_pictures(params, architecture)


def too_large(
    device: torch.device,
    architecture: Architecture,
    params: GenerationParams,
    trial: Callable[[GenerationParams], object],
) -> ParameterError | OutOfMemory:
    """The error for a video that does not fit; finds out by trial which smaller one would.

    Args:
        device: whose memory ran out.
        architecture: of the networks.
        params: the numbers of the video.
        trial: needs as much memory as a video with the given parameters.
    """
    size = {"width": params.width, "height": params.height, "context_frames": params.context_frames}
    fits = next((offer for offer in smaller(params, architecture) if _fits(device, offer, trial)), None)
    if fits is None:
        return OutOfMemory("out_of_memory", device=str(device), **size)
    return ParameterError("memory_too_small", field=fits.field, device=str(device), fits=fits.words, **size)


def _fits(device: torch.device, offer: Offer, trial: Callable[[GenerationParams], object]) -> bool:
    release(device)
    try:
        trial(offer.params)
    except RuntimeError as error:
        if not ran_out(error):
            raise
        return False
    finally:
        release(device)
    return True


def _shorter_windows(params: GenerationParams) -> Iterator[Offer]:
    frames = params.context_frames // 2
    while frames >= MIN_FRAMES and frames > params.context_overlap:
        yield Offer(replace(params, context_frames=frames), "context_frames", f"context_frames {frames}")
        frames //= 2


def _smaller_pictures(params: GenerationParams, architecture: Architecture) -> Iterator[Offer]:
    for share in STEPS_DOWN:
        width, height = (
            int(side * share) // architecture.latent_scale * architecture.latent_scale
            for side in (params.width, params.height)
        )
        if width >= LIMITS.width.least and height >= LIMITS.height.least:
            yield Offer(replace(params, width=width, height=height), "width", f"{width} × {height} pixels")
