"""Whether there is a voice: every engine's task says where there is none. What a voice does to a mouth is
tested in `tests/models/preview/test_lip_sync.py`."""

import numpy as np
import pytest

from models.errors import Cancelled
from models.speech import SAMPLE_RATE
from models.voice import has_voice
from tests.models.preview.performances import clip
from tests.models.recordings import recording

NOISE = np.random.default_rng(0).normal(0, 3000, 25 * SAMPLE_RATE).astype(np.int16)


def go_on() -> bool:
    return False


@pytest.mark.parametrize("name", ["man", "woman_fast", "vowels"])
def test_speech_is_a_voice(name):
    assert has_voice(clip(name).samples, go_on)


@pytest.mark.parametrize("gain", [1, 0.05])
@pytest.mark.parametrize("late_s", [0, 9.5, 24])
def test_a_word_anywhere_in_a_long_pause_is_a_voice(gain, late_s):
    samples = np.zeros(30 * SAMPLE_RATE, np.int16)
    start = round(late_s * SAMPLE_RATE)
    samples[start : start + len(recording())] = recording() * gain

    assert has_voice(samples, go_on)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0, np.int16), np.zeros(25 * SAMPLE_RATE, np.int16), NOISE, NOISE // 100],
    ids=["nothing", "silence", "noise", "faint noise"],
)
def test_silence_and_noise_are_none(samples):
    assert not has_voice(samples, go_on)


def test_stops_when_asked():
    with pytest.raises(Cancelled):
        has_voice(NOISE, lambda: True)
