"""What the denoiser refuses, and what its unconditional half does not depend on."""

import pytest
import torch
from torch import Tensor

from benchmarks.rules import Rules
from models.echomimic.networks.attention import KeyValue
from models.echomimic.networks.build import Networks
from tests.models.echomimic.mistakes import unconditional_half_hears

WINDOWS, FRAMES, SIDE = 1, 3, 4


@pytest.fixture(scope="module")
def inputs(networks: Networks) -> dict[str, Tensor | tuple[KeyValue, ...]]:
    """Everything the denoiser takes, in the right shapes."""
    rules = Rules()
    bank = networks.reference(rules.input("portrait", (1, 4, SIDE, SIDE)))
    return {
        "sample": rules.input("sample", (WINDOWS, FRAMES, 4, SIDE, SIDE)),
        "timestep": torch.tensor([500]),
        "audio": rules.input("audio", (WINDOWS, FRAMES, 50, 384)),
        "face": rules.input("face", (1, 32, SIDE, SIDE)),
        "reference": networks.denoiser.project(bank),
    }


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("timestep", (3,), r"timestep is \[3\], expected \[1\]"),
        ("audio", (1, 1, 50, 384), r"audio is \[1, 1, 50, 384\], expected \[1, 3, tokens, channels\]"),
        ("face", (1, 32, 1, 1), r"face is \[1, 32, 1, 1\], expected \[1 or 3, channels, 4, 4\]"),
        ("face", (2, 32, 4, 4), r"face is \[2, 32, 4, 4\], expected \[1 or 3, channels, 4, 4\]"),
    ],
)
def test_a_shape_that_would_be_broadcast_is_refused_with_its_numbers(
    networks: Networks, inputs: dict[str, Tensor], name: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        networks.denoiser(**{**inputs, name: torch.zeros(shape)})


def test_attention_refuses_keys_for_another_batch_size(networks: Networks) -> None:
    attention = next(networks.denoiser.transformer_blocks()).attn1
    keys = attention.keys_values(torch.zeros(1, 5, 32))
    with pytest.raises(ValueError, match="queries have a batch size of 2, the keys one of 1"):
        attention(torch.zeros(2, 5, 32), keys)


def test_the_unconditional_half_does_not_depend_on_the_conditioning(
    networks: Networks, inputs: dict[str, Tensor]
) -> None:
    reference = tuple(KeyValue(pair.value, pair.key) for pair in inputs["reference"])
    other = {"audio": inputs["audio"].flip(1), "face": -inputs["face"], "reference": reference}
    with torch.inference_mode():
        ours = networks.denoiser(**inputs, guided=True)
        others = networks.denoiser(**{**inputs, **other}, guided=True)
    torch.testing.assert_close(ours[0], others[0])
    assert (ours[1] - others[1]).abs().max() > 0.1


def test_silence_is_as_good_as_zeros(networks: Networks, inputs: dict[str, Tensor]) -> None:
    silent = {**inputs, "audio": torch.zeros_like(inputs["audio"])}
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        known = networks.denoiser(**silent, guided=True)
        unconditional_half_hears(patch)
        computed = networks.denoiser(**silent, guided=True)
    torch.testing.assert_close(known, computed, atol=1e-5, rtol=0)
