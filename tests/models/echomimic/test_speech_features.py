"""What each video frame hears."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from benchmarks.rules import speech_signal
from models.echomimic.networks.build import Networks
from models.echomimic.speech_features import (
    SpeechTokens,
    _mel_filters,
    log_mel,
    rows_around,
    speech_features,
    speech_tokens,
)
from models.frame_rate import FrameRate, frames_covering
from models.speech import as_floats

CPU = torch.device("cpu")
NTSC_24 = Fraction(24_000, 1001)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return speech_signal(16_000, "voice")


def spectrogram(samples: np.ndarray) -> torch.Tensor:
    return torch.cat(list(log_mel(samples, CPU)), dim=1)


def numbered(count: int, fps: FrameRate) -> SpeechTokens:
    """Tokens that hold the numbers of their rows."""
    features = torch.arange(float(count))[:, None, None].expand(count, 5, 1)
    return SpeechTokens(features, rows_around(count, fps))


def test_a_second_is_a_hundred_mel_frames_and_fifty_rows(networks: Networks, voice: np.ndarray) -> None:
    assert spectrogram(voice).shape == (80, 100)
    assert speech_features(networks.speech, voice, rows=50).shape == (50, 5, 384)


def test_the_floor_lies_eight_powers_of_ten_below_the_loudest_moment(voice: np.ndarray) -> None:
    mel = spectrogram(np.concatenate([voice, np.zeros(16_000, np.int16)]))
    assert mel.max() - mel.min() == pytest.approx(8 / 4)


def test_loudness_in_one_window_is_the_floor_of_the_other(networks: Networks, voice: np.ndarray) -> None:
    quiet_then_loud = np.concatenate([np.tile(voice // 1000, 30), voice])
    alone = speech_features(networks.speech, quiet_then_loud[: 30 * 16_000], rows=1000)
    together = speech_features(networks.speech, quiet_then_loud, rows=1000)
    assert not torch.allclose(alone, together, atol=1e-3)


def test_a_spectrogram_in_pieces_is_that_of_the_whole() -> None:
    samples = speech_signal(61 * 16_000 + 77, "voice")
    floats = torch.from_numpy(as_floats(samples))
    spectrum = torch.stft(floats, 400, 160, window=torch.hann_window(400), return_complex=True)
    power = _mel_filters(CPU) @ spectrum[:, :-1].abs() ** 2
    log = power.clamp(min=1e-10).log10()
    whole = (log.maximum(log.max() - 8) + 4) / 4
    pieces = list(log_mel(samples, CPU))
    assert [piece.shape[1] for piece in pieces] == [3000, 3000, 100]
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-4, rtol=0)


def test_what_is_not_shown_is_heard_but_not_encoded(networks: Networks) -> None:
    samples = speech_signal(70 * 16_000, "voice")
    encoded: list[int] = []
    tap = networks.speech.conv1.register_forward_hook(lambda *_call: encoded.append(1))
    with torch.inference_mode():
        few = speech_tokens(networks.speech, samples, fps=24, max_frames=7)
        assert len(encoded) == 1
        every = speech_tokens(networks.speech, samples, fps=24, max_frames=10_000)
    tap.remove()
    assert len(few) == 7
    shown = torch.arange(7)
    assert torch.equal(few.of(shown), every.of(shown))


def test_a_frame_hears_four_rows_before_its_moment_and_five_after() -> None:
    heard = numbered(100, fps=25).of(torch.tensor([10]))[0, ::5, 0]
    assert heard.tolist() == list(range(16, 26))


def test_what_lies_beyond_the_ends_is_the_first_or_last_row() -> None:
    tokens = numbered(50, fps=25)
    heard = tokens.of(torch.tensor([0, len(tokens) - 1]))[:, ::5, 0]
    assert heard.tolist() == [[0, 0, 0, 0, 0, 1, 2, 3, 4, 5], [48, *[49] * 9]]


@pytest.mark.parametrize("fps", [1, 24, 25, 60, NTSC_24, Fraction(25, 2)])
def test_there_are_tokens_for_at_least_as_long_as_the_speech_lasts(fps: FrameRate) -> None:
    for samples in range(3 * 16_000, 3 * 16_000 + 320, 40):
        assert len(rows_around(samples // 320, fps)) > frames_covering(Fraction(samples, 16_000), fps)


def test_a_frame_of_ntsc_hears_its_own_moment_after_minutes() -> None:
    tokens = numbered(6100, NTSC_24)
    (heard,) = tokens.of(torch.tensor([2 * 1440]))[:, ::5, 0].tolist()
    # 2880 frames last 120.12 s, a second and an eighth of a second longer than at 24.
    assert heard == list(range(6006 - 4, 6006 + 6))


def test_a_rate_next_to_a_whole_one_has_almost_its_rows() -> None:
    whole, slower = rows_around(500, 24), rows_around(500, Fraction(24_001, 1000))
    assert (whole - slower[: len(whole)]).abs().max() <= 1


def test_two_frames_of_a_speech_shorter_than_a_row_have_tokens(networks: Networks) -> None:
    with torch.inference_mode():
        tokens = speech_tokens(networks.speech, speech_signal(282, "voice"), fps=60, max_frames=10)
    assert len(tokens) >= 2
    assert torch.isfinite(tokens.of(torch.arange(2))).all()
