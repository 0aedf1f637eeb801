"""Where more at once no longer pays."""

from dataclasses import replace

import pytest

from models.echomimic.batches import most_pictures, most_windows
from models.echomimic.config import OFFICIAL
from models.params import GenerationParams

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
def test_windows_on_cuda(change: dict[str, float], frames: int, windows: int) -> None:
    assert most_windows(OFFICIAL, replace(PARAMS, **change), frames, "cuda") == windows


def test_the_cpu_batches_small_pictures_only() -> None:
    small = replace(PARAMS, width=128, height=128)
    assert most_windows(OFFICIAL, small, 1200, "cpu") == 3
    assert most_windows(OFFICIAL, PARAMS, 1200, "cpu") == 1


def test_pictures() -> None:
    assert most_pictures(PARAMS, 1200, "cuda") == 16
    assert most_pictures(PARAMS, 5, "cuda") == 5
    assert most_pictures(PARAMS, 1200, "cpu") == 1
