"""How much of a video goes through a network at once: as much as the device's free memory holds.

Knows nothing of networks; a trial tells what one piece takes.
"""

from collections.abc import Callable

import torch

SPARED = 0.2  # of the free memory: other sizes of the same work fragment it


def pieces_at_once(device: torch.device, one: Callable[[], object], most: int) -> int:
    """How many pieces of work fit into the memory that is free.

    Args:
        device: where the work is done; off CUDA it is 1, as more at once is no faster there.
        one: does one piece, its result dropped.
        most: where more at once no longer pays.

    Returns:
        1 to `most`.
    """
    if device.type != "cuda":
        return 1
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
