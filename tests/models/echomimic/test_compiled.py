"""Compiled kernels: the same frames, and no task waits for the compiler."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from models.echomimic.config import TINY
from models.echomimic.engine import EchoMimicEngine
from models.params import GenerationParams
from models.portrait import Portrait
from models.speech import Speech
from tests.parity.bench import samples
from tests.parity.rules import Rules, box_mask, picture, speech_signal

pytestmark = [
    pytest.mark.skipif(not shutil.which("g++"), reason="on the CPU, torch.compile needs g++"),
    pytest.mark.timeout(1200),  # one slow core compiles for minutes
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# Everything the tiny networks have, in half as many stages: each stage costs a minute of compiling.
SMALL = replace(TINY, channels=(32, 64), layers=1)
PARAMS = GenerationParams(
    width=32, height=32, length=9, fps=24, steps=2, context_frames=4, context_overlap=1, seed=7
)
GRAPHS = 3  # with and without guidance, and the decoder

Play = Callable[[GenerationParams], np.ndarray]


def player(engine: EchoMimicEngine) -> Play:
    speech = Speech(samples(speech_signal(16_000, "voice")), 1.0)

    def play(params: GenerationParams) -> np.ndarray:
        side = params.width, params.height
        portrait = Portrait(picture(*side, ""), box_mask(*side), landmarks=None)
        blocks = engine.frames(portrait, speech, params, params.length, lambda share: None, lambda: False)
        return np.concatenate(list(blocks)).astype(int)

    return play


@pytest.fixture(scope="module")
def plain() -> Play:
    return player(EchoMimicEngine(Rules().networks(SMALL), SMALL))


@pytest.fixture(scope="module")
def compiled() -> Iterator[Play]:
    torch._dynamo.reset()
    counters.clear()
    engine = EchoMimicEngine(Rules().networks(SMALL), SMALL)
    engine.compile(PARAMS)
    assert counters["stats"]["unique_graphs"] == GRAPHS
    yield player(engine)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"cfg": 2.5},
        {"length": 2},  # less than a window
        {"length": 24},
        {"length": 24, "context_frames": 6},
        {"width": 48},  # runs as it is
    ],
)
def test_the_frames_are_those_of_the_uncompiled_networks(
    plain: Play, compiled: Play, change: dict[str, float]
) -> None:
    params = replace(PARAMS, **change)
    difference = np.abs(compiled(params) - plain(params))
    assert difference.max() <= 1
    assert difference.mean() < 0.01  # of 255, by rounding


def test_nothing_is_compiled_once_the_engine_is_ready(compiled: Play) -> None:
    for change in ({"length": 5}, {"length": 20}, {"length": 7, "context_frames": 5}, {"height": 64}):
        compiled(replace(PARAMS, **change))
    assert counters["stats"]["unique_graphs"] == GRAPHS


def test_other_lengths_use_the_compiled_kernels(compiled: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they did not fit would be an error here."""
    monkeypatch.setattr("models.echomimic.compiled.RUN_ONLY", "fail_on_recompile")
    for change in ({"length": 2}, {"length": 24}, {"length": 24, "context_frames": 6}, {"cfg": 2.5}):
        compiled(replace(PARAMS, **change))
    with pytest.raises(RuntimeError, match="recompile"):
        compiled(replace(PARAMS, width=48))
