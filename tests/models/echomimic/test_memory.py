"""How much goes through a network at once."""

from contextlib import suppress

import pytest
import torch
from torch import nn

from models.echomimic.memory import fitting, pieces_at_once, visiting

GIB = 2**30


@pytest.mark.parametrize(
    ("free", "cost", "pieces"),
    [(10 * GIB, 2 * GIB, 4), (10 * GIB, 4 * GIB, 2), (100 * GIB, GIB, 8), (GIB, 2 * GIB, 1), (GIB, 0, 8)],
)
def test_a_fifth_of_the_memory_is_spared(free: int, cost: int, pieces: int) -> None:
    assert fitting(free, cost, most=8) == pieces


def test_the_cpu_does_as_many_as_pay_without_a_trial() -> None:
    def trial() -> None:
        raise AssertionError("tried")

    assert pieces_at_once(torch.device("cpu"), trial, most=8) == 8


def test_one_piece_at_most_needs_no_trial() -> None:
    def trial() -> None:
        raise AssertionError("tried")

    assert pieces_at_once(torch.device("cuda"), trial, most=1) == 1


def test_a_visitor_is_on_the_device_while_it_is_needed_and_leaves_its_tensors_at_home() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    home = {key: tensor.data_ptr() for key, tensor in network.state_dict().items()}
    with suppress(RuntimeError), visiting(torch.device("meta"), network):
        assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
        raise RuntimeError
    assert {key: tensor.data_ptr() for key, tensor in network.state_dict().items()} == home


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_trial_on_the_device_tells_what_a_piece_takes() -> None:
    device = torch.device("cuda")
    free, _ = torch.cuda.mem_get_info(device)
    pieces = pieces_at_once(
        device, lambda: torch.empty(free // 10, dtype=torch.uint8, device=device), most=99
    )
    assert 5 <= pieces <= 8
