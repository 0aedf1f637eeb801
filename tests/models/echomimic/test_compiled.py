"""Compiled kernels: the same frames, and no task waits for the compiler."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from benchmarks.rules import Rules, box_mask, picture, speech_signal
from models.echomimic import memory
from models.echomimic.compiled import compile_networks
from models.echomimic.engine import EchoMimicEngine
from models.echomimic.networks.config import TINY
from models.engine import Control, Scene
from models.params import GenerationParams
from models.portrait import Portrait
from models.speech import Speech

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# Everything the tiny networks have, in half as many stages: each takes long to compile.
SMALL = replace(TINY, channels=(32, 64), layers=1)
PARAMS = GenerationParams(
    width=32, height=32, length=9, fps=24, steps=2, context_frames=4, context_overlap=1, seed=7
)
GRAPHS = 6  # the denoiser with and without guidance, and the decoder; each for one piece and for several
MOST_FRAMES = 15  # in a forward pass: on the CPU, convolutions of 16 pictures are others

Play = Callable[[GenerationParams], np.ndarray]


def player(engine: EchoMimicEngine) -> Play:
    speech = Speech(speech_signal(16_000, "voice"))

    def play(params: GenerationParams) -> np.ndarray:
        side = params.width, params.height
        portrait = Portrait(picture(*side, ""), box_mask(*side), landmarks=None)
        scene = Scene(portrait, speech, params, params.length)
        blocks = engine.frames(scene, Control(lambda share: None, lambda: False))
        return np.concatenate(list(blocks)).astype(int)

    return play


@pytest.fixture(scope="module", autouse=True)
def few_frames_at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        pixels = PARAMS.width * PARAMS.height
        patch.setattr(memory, "MAX_PIXELS_DENOISED", {"cpu": MOST_FRAMES * pixels})
        patch.setattr(memory, "MAX_PIXELS_DECODED", {"cpu": 2 * pixels})
        yield


@pytest.fixture(scope="module")
def plain() -> Play:
    return player(EchoMimicEngine(Rules().networks(SMALL), SMALL))


@pytest.fixture(scope="module")
def traced() -> Iterator[EchoMimicEngine]:
    """Everything torch.compile does but the kernels, which take minutes: tracing, and choosing by guards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
        torch._dynamo.reset()
        counters.clear()
        engine = EchoMimicEngine(Rules().networks(SMALL), SMALL)
        engine.compile(PARAMS)
        assert counters["stats"]["unique_graphs"] == GRAPHS
        yield engine
        torch._dynamo.reset()


CHANGES = [
    {},
    {"cfg": 2.5},
    {"length": 2},  # less than a window
    {"length": 24},
    {"length": 24, "context_frames": 6},
]


@pytest.mark.parametrize("change", CHANGES)
def test_videos_of_any_length_use_what_was_compiled(
    plain: Play, traced: EchoMimicEngine, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """What does not fit would be an error here."""
    monkeypatch.setattr("models.echomimic.compiled.RUN_ONLY", "fail_on_recompile")
    params = replace(PARAMS, **change)
    assert (player(traced)(params) == plain(params)).all()


@pytest.mark.parametrize("change", [{"width": 48}, {"height": 64}])
def test_another_size_runs_as_it_does_without_a_compiler(
    plain: Play, traced: EchoMimicEngine, change: dict[str, Any]
) -> None:
    params = replace(PARAMS, **change)
    assert (player(traced)(params) == plain(params)).all()
    assert counters["stats"]["unique_graphs"] == GRAPHS


@pytest.mark.skipif(not shutil.which("g++"), reason="on the CPU, torch.compile needs g++")
@pytest.mark.timeout(1200)  # one slow core compiles for minutes
def test_compiled_kernels_give_the_same_frames(plain: Play) -> None:
    torch._dynamo.reset()
    engine = EchoMimicEngine(Rules().networks(SMALL), SMALL, low_memory=True)  # one piece at a time
    params = replace(PARAMS, cfg=2.5)
    compile_networks(engine._pipeline.networks, lambda: engine._pipeline.warm_up(params))
    difference = np.abs(player(engine)(params) - plain(params))
    torch._dynamo.reset()
    assert difference.max() <= 1
    assert difference.mean() < 0.01  # of 255, by rounding
