"""The mouth hears voices, and nothing else."""

from dataclasses import fields

import numpy as np
import pytest

from models.preview.lip_sync import FASTEST, follow
from models.speech import SAMPLE_RATE
from models.voice import BLOCK, HOP, RATE, listen
from tests.models.preview.performances import clip

SECONDS = 5


def white_noise(rms: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, rms, SECONDS * SAMPLE_RATE).astype(np.float32)


def bursts(seconds: float, period: float) -> np.ndarray:
    """Loud noise that falls off within `seconds`, over a faint hiss."""
    length = int(seconds * SAMPLE_RATE)
    decay = np.exp(-4 * np.arange(length) / length)
    samples = white_noise(0.001)
    for start in range(0, len(samples) - length, int(period * SAMPLE_RATE)):
        samples[start : start + length] += 300 * decay * samples[start : start + length]
    return samples


NOISES = {
    "silence": np.zeros(SECONDS * SAMPLE_RATE, np.float32),
    "faint hiss": white_noise(0.002),
    "loud hiss": white_noise(0.1),
    "keyboard": bursts(0.05, period=0.21),
    "noise bursts": bursts(0.4, period=1.0),
}


@pytest.mark.parametrize("samples", NOISES.values(), ids=NOISES.keys())
def test_noise_leaves_the_mouth_shut(samples: np.ndarray) -> None:
    assert follow(listen(samples)).opening.max() < 0.02


@pytest.mark.parametrize("name", ["man", "woman_fast", "vowels"])
def test_speech_opens_it_wide(name: str) -> None:
    assert np.percentile(follow(listen(clip(name).beginning(60))).opening, 95) > 0.6


def test_how_loud_the_recording_is_does_not_matter() -> None:
    samples = clip("man").beginning(60)
    loud, quiet = follow(listen(samples)).opening, follow(listen(0.05 * samples)).opening
    assert np.abs(loud - quiet).max() < 0.05


def test_speech_is_followed_through_a_hiss() -> None:
    samples = clip("man").beginning(60)
    noise = np.random.default_rng(0).normal(0, 0.02 * np.abs(samples).max(), len(samples))
    clean = follow(listen(samples)).opening
    noisy = follow(listen((samples + noise).astype(np.float32))).opening
    assert np.corrcoef(clean, noisy)[0, 1] > 0.8


def test_the_lips_are_never_nervous() -> None:
    opening = follow(listen(clip("woman_fast").beginning(60))).opening
    assert np.abs(np.diff(opening)).max() <= FASTEST / RATE + 1e-6


def test_a_is_open_i_is_spread_and_u_is_rounded() -> None:
    voice = listen(clip("vowels").beginning(60))
    track = follow(voice)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], track.opening > 0.2, [0]])))
    widths = [float(np.median(track.width[start:stop])) for start, stop in edges.reshape(-1, 2)]
    a, i, u = widths
    assert i > 0.6
    assert u < -0.4
    assert u < a < i


def test_long_speech_is_heard_in_blocks_that_leave_no_seam() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (BLOCK + 50) * HOP).astype(np.float32)
    whole, tail = listen(noise), listen(noise[(BLOCK - 50) * HOP :])
    for field in fields(whole):
        inner = slice(20, 80)  # away from where `tail` begins and ends
        joined = getattr(whole, field.name)[BLOCK - 50 :]
        np.testing.assert_allclose(joined[inner], getattr(tail, field.name)[inner], rtol=1e-3, atol=1e-6)
