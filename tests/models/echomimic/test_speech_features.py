"""What each video frame hears."""

import numpy as np
import pytest
import torch

from models.echomimic.networks import Networks
from models.echomimic.speech_features import log_mel, speech_features, speech_tokens
from tests.parity.bench import samples
from tests.parity.rules import speech_signal


@pytest.fixture(scope="module")
def voice() -> torch.Tensor:
    return torch.from_numpy(samples(speech_signal(16_000, "voice")))


def test_a_second_is_a_hundred_mel_frames_and_fifty_rows(networks: Networks, voice: torch.Tensor) -> None:
    assert log_mel(voice).shape == (80, 100)
    assert speech_features(networks.speech, voice).shape == (50, 5, 384)


def test_the_floor_lies_eight_powers_of_ten_below_the_loudest_moment(voice: torch.Tensor) -> None:
    mel = log_mel(torch.cat([voice, torch.zeros(16_000)]))
    assert mel.max() - mel.min() == pytest.approx(8 / 4)


def test_loudness_in_one_window_is_the_floor_of_the_other(networks: Networks, voice: torch.Tensor) -> None:
    quiet_then_loud = torch.cat([voice.repeat(30) * 1e-3, voice])
    alone = speech_features(networks.speech, quiet_then_loud[: 30 * 16_000])
    together = speech_features(networks.speech, quiet_then_loud)
    assert not torch.allclose(alone[:1000], together[:1000], atol=1e-3)


def test_a_frame_hears_four_rows_before_its_moment_and_five_after() -> None:
    features = torch.arange(100.0)[:, None, None].expand(100, 5, 1)
    heard = speech_tokens(features, fps=25).of(torch.tensor([10]))[0, ::5, 0]
    assert heard.tolist() == list(range(16, 26))


def test_what_lies_beyond_the_ends_is_the_first_or_last_row() -> None:
    features = torch.arange(50.0)[:, None, None].expand(50, 5, 1)
    tokens = speech_tokens(features, fps=25)
    heard = tokens.of(torch.tensor([0, len(tokens) - 1]))[:, ::5, 0]
    assert heard.tolist() == [[0, 0, 0, 0, 0, 1, 2, 3, 4, 5], [48, *[49] * 9]]


@pytest.mark.parametrize("fps", [1, 24, 25, 60])
def test_there_are_tokens_for_at_least_as_long_as_the_speech_lasts(fps: int) -> None:
    assert len(speech_tokens(torch.zeros(150, 5, 1), fps)) >= 3 * fps


def test_states_are_read_before_the_final_norm(networks: Networks, voice: torch.Tensor) -> None:
    last = speech_features(networks.speech, voice)[:, -1].numpy()
    assert np.abs(last.std(axis=1) - 1).max() > 0.1
