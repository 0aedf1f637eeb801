"""The walk from noise to latents."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.rules import box_mask, picture, speech_signal
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import TINY
from models.echomimic.pipeline import condition
from models.echomimic.sampler import Conditioning, Step, denoising_steps, prepare_latents
from models.engine import Scene
from models.errors import Cancelled
from models.params import GenerationParams
from models.portrait import Portrait
from models.speech import Speech

FRAMES = 7  # a ring of three windows
PARAMS = GenerationParams(
    width=32, height=32, length=FRAMES, steps=2, cfg=2.5, context_frames=4, context_overlap=1
)


@pytest.fixture(scope="module")
def conditioning(networks: Networks) -> Conditioning:
    portrait = Portrait(picture(32, 32, ""), box_mask(32, 32), landmarks=None)
    return condition(networks, Scene(portrait, Speech(speech_signal(8_000, "voice")), PARAMS, FRAMES))


@pytest.fixture
def asked(networks: Networks) -> Iterator[list[dict[str, object]]]:
    """The inputs of the denoiser besides its sample, call by call."""
    calls: list[dict[str, object]] = []
    tap = networks.denoiser.register_forward_pre_hook(
        lambda _net, _inputs, others: calls.append(others), with_kwargs=True
    )
    yield calls
    tap.remove()


def walk(
    networks: Networks,
    conditioning: Conditioning,
    params: GenerationParams = PARAMS,
    on_progress: Callable[[float], None] = lambda share: None,
    window_batch: int = 1,
) -> Iterator[Step]:
    return denoising_steps(
        networks.denoiser, conditioning, noise(FRAMES), params, on_progress, window_batch=window_batch
    )


def noise(frames: int, **params: Any) -> torch.Tensor:
    return prepare_latents(TINY, replace(PARAMS, **params), frames)


def test_there_is_one_result_per_step(networks: Networks, conditioning: Conditioning) -> None:
    assert len(list(walk(networks, conditioning))) == PARAMS.steps


@pytest.mark.parametrize("window_batch", [2, 5])
def test_windows_may_share_a_forward_pass(
    networks: Networks, conditioning: Conditioning, window_batch: int
) -> None:
    *_, single = walk(networks, conditioning)
    *_, batched = walk(networks, conditioning, window_batch=window_batch)
    torch.testing.assert_close(batched.latents, single.latents, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("window_batch", "sizes"), [(2, [2, 1]), (3, [3])])
def test_windows_are_shared_out_evenly(
    networks: Networks, conditioning: Conditioning, window_batch: int, sizes: list[int]
) -> None:
    seen: list[int] = []
    tap = networks.denoiser.register_forward_pre_hook(lambda _net, inputs: seen.append(len(inputs[0])))
    list(walk(networks, conditioning, replace(PARAMS, steps=1, cfg=1.0), window_batch=window_batch))
    tap.remove()
    assert seen == sizes


@pytest.mark.parametrize(("cfg", "guided"), [(1.0, False), (2.5, True)])
def test_every_window_is_one_forward_pass(
    networks: Networks, conditioning: Conditioning, asked: list[dict[str, object]], cfg: float, guided: bool
) -> None:
    list(walk(networks, conditioning, replace(PARAMS, cfg=cfg)))
    assert [inputs["guided"] for inputs in asked] == [guided] * 3 * PARAMS.steps


def test_guidance_leads_from_the_unconditional_half_past_the_conditional_one(
    networks: Networks, conditioning: Conditioning
) -> None:
    def velocity(cfg: float) -> torch.Tensor:
        return next(walk(networks, conditioning, replace(PARAMS, steps=1, cfg=cfg))).model_output

    cond = velocity(1.0)
    uncond = cond - (velocity(2.0) - cond)
    torch.testing.assert_close(velocity(3.0), uncond + 3 * (cond - uncond), atol=1e-4, rtol=0)


def test_the_portrait_is_not_projected_again(networks: Networks, conditioning: Conditioning) -> None:
    block = next(networks.denoiser.transformer_blocks())
    tokens: list[int] = []
    tap = block.attn1.to_k.register_forward_hook(lambda _m, inputs, _o: tokens.append(inputs[0].shape[1]))
    list(walk(networks, conditioning))
    tap.remove()
    assert set(tokens) == {4 * 4}  # of the frame itself; those of the portrait come as keys


class _NoReading(TorchDispatchMode):
    """Refuses to bring a number from the device to the host, which waits until the device has it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "the host waits for the device"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("cfg", [1.0, 2.5])
def test_the_host_never_waits_for_the_device(
    networks: Networks, conditioning: Conditioning, cfg: float
) -> None:
    steps = walk(networks, conditioning, replace(PARAMS, cfg=cfg))
    next(steps)  # lays out the windows, on the host
    with _NoReading():
        assert len(list(steps)) == PARAMS.steps - 1


def test_progress_rises_from_nothing_to_all(networks: Networks, conditioning: Conditioning) -> None:
    shares: list[float] = []
    list(walk(networks, conditioning, on_progress=shares.append))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1], len(shares)) == (0.0, 1.0, 3 * PARAMS.steps + 1)


def test_a_stop_is_obeyed_before_the_next_window(
    networks: Networks, conditioning: Conditioning, asked: list[dict[str, object]]
) -> None:
    def stop(share: float) -> None:
        if share > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(walk(networks, conditioning, replace(PARAMS, cfg=1.0), stop))
    assert len(asked) == 1


def test_a_seed_is_a_noise() -> None:
    assert torch.equal(noise(3, seed=7), noise(3, seed=7))
    assert not torch.equal(noise(3, seed=7), noise(3, seed=8))


def test_noise_for_more_frames_than_the_speech_has_tokens_for_is_refused(
    networks: Networks, conditioning: Conditioning
) -> None:
    short = replace(conditioning, audio=replace(conditioning.audio, rows=conditioning.audio.rows[:3]))
    with pytest.raises(ValueError, match="noise is for 7 frames, but there are audio tokens for 3"):
        next(walk(networks, short))
