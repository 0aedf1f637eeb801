"""How much goes through a network at once."""

import pytest
import torch

from models.echomimic.memory import fitting, pieces_at_once

GIB = 2**30


@pytest.mark.parametrize(
    ("free", "cost", "pieces"),
    [(10 * GIB, 2 * GIB, 4), (10 * GIB, 4 * GIB, 2), (100 * GIB, GIB, 8), (GIB, 2 * GIB, 1), (GIB, 0, 8)],
)
def test_a_fifth_of_the_memory_is_spared(free: int, cost: int, pieces: int) -> None:
    assert fitting(free, cost, most=8) == pieces


def test_the_cpu_does_one_piece_at_a_time_without_a_trial() -> None:
    def trial() -> None:
        raise AssertionError("tried")

    assert pieces_at_once(torch.device("cpu"), trial, most=8) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_trial_on_the_device_tells_what_a_piece_takes() -> None:
    device = torch.device("cuda")
    free, _ = torch.cuda.mem_get_info(device)
    pieces = pieces_at_once(
        device, lambda: torch.empty(free // 10, dtype=torch.uint8, device=device), most=99
    )
    assert 5 <= pieces <= 8
