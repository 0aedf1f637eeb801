"""How much goes through a network at once, and what is offered where the memory is too small."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from models.echomimic.memory import batch_size, fitting, max_decoded, max_windows, smaller, visiting
from models.echomimic.networks.config import OFFICIAL
from models.params import GenerationParams

GIB = 2**30
PARAMS = GenerationParams()  # 512², windows of 12


@pytest.mark.parametrize(
    ("change", "frames", "windows"),
    [
        ({}, 1200, 8),
        ({"cfg": 2.5}, 1200, 4),  # two halves each
        ({"width": 1024, "height": 1024}, 1200, 2),
        ({}, 24, 3),  # there are no more
        ({}, 12, 1),
        ({"context_frames": 4, "context_overlap": 1}, 1200, 15),  # 61,440 attentions over time, of 65,535
        ({"width": 128, "height": 128, "context_frames": 32, "context_overlap": 1}, 9600, 48),
    ],
)
def test_windows_on_cuda(change: dict[str, Any], frames: int, windows: int) -> None:
    assert max_windows(OFFICIAL, replace(PARAMS, **change), frames, "cuda") == windows


def test_the_cpu_batches_small_pictures_only() -> None:
    small = replace(PARAMS, width=128, height=128)
    assert max_windows(OFFICIAL, small, 1200, "cpu") == 3
    assert max_windows(OFFICIAL, PARAMS, 1200, "cpu") == 1


def test_pictures() -> None:
    assert max_decoded(PARAMS, 1200, "cuda") == 16
    assert max_decoded(PARAMS, 5, "cuda") == 5
    assert max_decoded(PARAMS, 1200, "cpu") == 1


@pytest.mark.parametrize(
    ("free", "cost", "pieces"),
    [(10 * GIB, 2 * GIB, 4), (10 * GIB, 4 * GIB, 2), (100 * GIB, GIB, 8), (GIB, 2 * GIB, 1), (GIB, 0, 8)],
)
def test_a_fifth_of_the_memory_is_spared(free: int, cost: int, pieces: int) -> None:
    assert fitting(free, cost, limit=8) == pieces


def test_the_cpu_does_as_many_as_pay_without_a_trial() -> None:
    def trial() -> None:
        raise AssertionError("tried")

    assert batch_size(torch.device("cpu"), trial, limit=8) == 8


def test_one_piece_at_most_needs_no_trial() -> None:
    def trial() -> None:
        raise AssertionError("tried")

    assert batch_size(torch.device("cuda"), trial, limit=1) == 1


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
    pieces = batch_size(device, lambda: torch.empty(free // 10, dtype=torch.uint8, device=device), limit=99)
    assert 5 <= pieces <= 8


def test_shorter_windows_come_before_smaller_pictures() -> None:
    offers = [offer.words for offer in smaller(GenerationParams(), OFFICIAL)]
    assert offers == ["context_frames 6", "384 × 384 pixels", "256 × 256 pixels", "128 × 128 pixels"]


def test_sides_stay_what_the_model_can_do() -> None:
    offers = smaller(GenerationParams(width=520, height=776, context_overlap=11), OFFICIAL)
    assert [offer.words for offer in offers] == ["384 × 576 pixels", "256 × 384 pixels", "128 × 192 pixels"]


def test_the_smallest_has_nothing_smaller() -> None:
    tiny = GenerationParams(width=128, height=128, context_frames=2, context_overlap=1)
    assert list(smaller(tiny, OFFICIAL)) == []
