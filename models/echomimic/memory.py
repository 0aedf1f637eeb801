"""What is on the device: how much of a video at once, and which networks.

Knows nothing of stages; a trial tells what one piece of work takes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

SPARED = 0.2  # of the free memory: other sizes of the same work fragment it


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
