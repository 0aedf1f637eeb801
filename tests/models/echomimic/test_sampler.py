"""The walk from noise to latents."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.echomimic.networks.attention import KeyValue
from models.echomimic.networks.build import Networks
from models.echomimic.pipeline import condition
from models.echomimic.sampler import Conditioning, Sampling, Step, denoise, starting_noise
from models.errors import Cancelled
from tests.models.echomimic.mistakes import unconditional_half_hears
from tests.parity.rules import box_mask, picture, speech_signal

SAMPLING = Sampling(steps=2, cfg=2.5, context_frames=4, context_overlap=1)
FRAMES = 7  # a ring of three windows


@pytest.fixture(scope="module")
def conditioning(networks: Networks) -> Conditioning:
    voice = speech_signal(8_000, "voice")
    return condition(networks, picture(32, 32, ""), box_mask(32, 32), voice, fps=24, most_frames=FRAMES)


@pytest.fixture
def asked(networks: Networks) -> list[dict[str, object]]:
    """What the denoiser is told besides its sample, call by call."""
    calls: list[dict[str, object]] = []
    tap = networks.denoiser.register_forward_pre_hook(
        lambda _net, _inputs, told: calls.append(told), with_kwargs=True
    )
    yield calls
    tap.remove()


def walk(networks: Networks, conditioning: Conditioning, sampling: Sampling = SAMPLING) -> list[Step]:
    noise = starting_noise(FRAMES, 4, 4, seed=420)
    return list(denoise(networks.denoiser, conditioning, noise, sampling, tick=lambda share: None))


def test_there_is_one_result_per_step(networks: Networks, conditioning: Conditioning) -> None:
    assert len(walk(networks, conditioning)) == SAMPLING.steps


@pytest.mark.parametrize("window_batch", [2, 5])
def test_windows_may_share_a_forward_pass(
    networks: Networks, conditioning: Conditioning, window_batch: int
) -> None:
    single = walk(networks, conditioning)[-1].latents
    batched = walk(networks, conditioning, replace(SAMPLING, window_batch=window_batch))[-1].latents
    torch.testing.assert_close(batched, single, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("window_batch", "sizes"), [(2, [2, 1]), (3, [3])])
def test_windows_are_shared_out_evenly(
    networks: Networks, conditioning: Conditioning, window_batch: int, sizes: list[int]
) -> None:
    seen: list[int] = []
    tap = networks.denoiser.register_forward_pre_hook(lambda _net, inputs: seen.append(len(inputs[0])))
    walk(networks, conditioning, replace(SAMPLING, steps=1, cfg=1.0, window_batch=window_batch))
    tap.remove()
    assert seen == sizes


@pytest.mark.parametrize(("cfg", "guided"), [(1.0, False), (2.5, True)])
def test_every_window_is_one_forward_pass(
    networks: Networks, conditioning: Conditioning, asked: list[dict[str, object]], cfg: float, guided: bool
) -> None:
    walk(networks, conditioning, replace(SAMPLING, cfg=cfg))
    assert [told["guided"] for told in asked] == [guided] * 3 * SAMPLING.steps


def test_guidance_leads_from_the_unconditional_half_past_the_conditional_one(
    networks: Networks, conditioning: Conditioning
) -> None:
    def velocity(cfg: float) -> torch.Tensor:
        return walk(networks, conditioning, replace(SAMPLING, steps=1, cfg=cfg))[0].model_output

    told = velocity(1.0)
    alone = told - (velocity(2.0) - told)
    torch.testing.assert_close(velocity(3.0), alone + 3 * (told - alone), atol=1e-4, rtol=0)


def test_the_portrait_is_not_projected_again(networks: Networks, conditioning: Conditioning) -> None:
    block = next(networks.denoiser.transformer_blocks())
    tokens: list[int] = []
    tap = block.attn1.to_k.register_forward_hook(lambda _m, inputs, _o: tokens.append(inputs[0].shape[1]))
    walk(networks, conditioning)
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
    noise = starting_noise(FRAMES, 4, 4, seed=420)
    steps = denoise(networks.denoiser, conditioning, noise, replace(SAMPLING, cfg=cfg), lambda share: None)
    next(steps)  # lays out the windows, on the host
    with _NoReading():
        assert len(list(steps)) == SAMPLING.steps - 1


def test_progress_rises_from_nothing_to_all(networks: Networks, conditioning: Conditioning) -> None:
    shares: list[float] = []
    noise = starting_noise(FRAMES, 4, 4, seed=420)
    list(denoise(networks.denoiser, conditioning, noise, SAMPLING, tick=shares.append))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1], len(shares)) == (0.0, 1.0, 3 * SAMPLING.steps + 1)


def test_a_stop_is_obeyed_before_the_next_window(
    networks: Networks, conditioning: Conditioning, asked: list[dict[str, object]]
) -> None:
    def stop(share: float) -> None:
        if share > 0:
            raise Cancelled

    noise = starting_noise(FRAMES, 4, 4, seed=420)
    with pytest.raises(Cancelled):
        list(denoise(networks.denoiser, conditioning, noise, replace(SAMPLING, cfg=1.0), stop))
    assert len(asked) == 1


def test_a_seed_is_a_noise() -> None:
    assert torch.equal(starting_noise(3, 4, 4, seed=7), starting_noise(3, 4, 4, seed=7))
    assert not torch.equal(starting_noise(3, 4, 4, seed=7), starting_noise(3, 4, 4, seed=8))


def test_what_the_unconditional_half_is_not_told_does_not_matter(
    networks: Networks, conditioning: Conditioning
) -> None:
    noise, time = starting_noise(3, 4, 4, seed=1)[None], torch.tensor([500])
    heard = conditioning.audio.of(torch.arange(3)[None])
    reference = tuple(KeyValue(seen.value, seen.key) for seen in conditioning.reference)
    told = {"audio": heard, "face": conditioning.face, "reference": conditioning.reference}
    other = {"audio": heard.flip(1), "face": -conditioning.face, "reference": reference}
    with torch.inference_mode():
        ours = networks.denoiser(noise, time, **told, guided=True)
        others = networks.denoiser(noise, time, **other, guided=True)
    torch.testing.assert_close(ours[0], others[0])
    assert (ours[1] - others[1]).abs().max() > 0.1


def test_silence_is_as_good_as_zeros(networks: Networks, conditioning: Conditioning) -> None:
    noise, time = starting_noise(3, 4, 4, seed=1)[None], torch.tensor([500])
    told = {"face": conditioning.face, "reference": conditioning.reference}
    zeros = torch.zeros(1, 3, 50, 384)
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        silent = networks.denoiser(noise, time, audio=zeros, **told, guided=True)
        unconditional_half_hears(patch)
        heard = networks.denoiser(noise, time, audio=zeros, **told, guided=True)
    torch.testing.assert_close(silent, heard, atol=1e-5, rtol=0)
