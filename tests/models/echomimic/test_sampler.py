"""The walk from noise to latents."""

from dataclasses import replace

import pytest
import torch

from models.echomimic.denoiser import DenoisingNet
from models.echomimic.networks import Networks
from models.echomimic.pipeline import condition
from models.echomimic.sampler import Conditioning, Sampling, Step, denoise, starting_noise
from models.errors import Cancelled
from tests.parity.bench import samples
from tests.parity.rules import box_mask, picture, speech_signal

SAMPLING = Sampling(steps=2, cfg=2.5, context_frames=4, context_overlap=1)
FRAMES = 7  # a ring of three windows


@pytest.fixture(scope="module")
def conditioning(networks: Networks) -> Conditioning:
    voice = samples(speech_signal(8_000, "voice"))
    return condition(networks, picture(32, 32, ""), box_mask(32, 32), voice, fps=24)


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


def test_guidance_asks_twice_and_the_second_time_tells_nothing(
    networks: Networks, conditioning: Conditioning, asked: list[dict[str, object]]
) -> None:
    walk(networks, conditioning)
    assert [sorted(told) for told in asked] == [["audio", "face", "reference"], []] * 3 * SAMPLING.steps


def test_without_guidance_it_asks_once(
    networks: Networks, conditioning: Conditioning, asked: list[dict[str, object]]
) -> None:
    walk(networks, conditioning, replace(SAMPLING, cfg=1.0))
    assert len(asked) == 3 * SAMPLING.steps


def test_the_portrait_is_not_projected_again(networks: Networks, conditioning: Conditioning) -> None:
    block = next(networks.denoiser.transformer_blocks())
    tokens: list[int] = []
    tap = block.attn1.to_k.register_forward_hook(lambda _m, inputs, _o: tokens.append(inputs[0].shape[1]))
    walk(networks, conditioning)
    tap.remove()
    assert set(tokens) == {4 * 4}  # of the frame itself; those of the portrait come as keys


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


def test_silence_is_as_good_as_zeros(networks: Networks) -> None:
    denoiser: DenoisingNet = networks.denoiser
    noise, time = starting_noise(3, 4, 4, seed=1)[None], torch.tensor([500])
    with torch.inference_mode():
        zeros = denoiser(noise, time, audio=torch.zeros(1, 3, 50, 384))
        torch.testing.assert_close(denoiser(noise, time), zeros, atol=1e-5, rtol=0)
