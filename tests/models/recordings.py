"""A recording that others are compared with: 1.8 s, of which the first and the last 0.3 s are silent."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import correlate, correlation_lags, resample_poly

from models.speech import SAMPLE_RATE, Speech, load_speech
from models.wav import whole_wav
from tests.service import ROOT

SECONDS = 1.8
HOLE = (0.8, 1.3)  # seconds, in the middle of the speech


def recording(rate: int = SAMPLE_RATE) -> np.ndarray:
    """int16 [n]."""
    original, samples = wavfile.read(ROOT / "examples" / "hello.wav")
    spoken = samples[round(0.05 * original) : round(1.25 * original)]
    pause = np.zeros(round(0.3 * original))
    resampled = resample_poly(np.concatenate([pause, spoken, pause]), rate, original)
    return resampled[: round(SECONDS * rate)].clip(-(2**15), 2**15 - 1).astype("<i2")


def with_hole(samples: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """The same, silent in `HOLE`."""
    silent = samples.copy()
    silent[round(HOLE[0] * rate) : round(HOLE[1] * rate)] = 0
    return silent


def wav(samples: np.ndarray, rate: int = SAMPLE_RATE) -> bytes:
    """A plain WAV file of 16 bit samples [n] or [n, channels]."""
    from io import BytesIO

    file = BytesIO()
    wavfile.write(file, rate, samples.astype("<i2"))
    return file.getvalue()


def load(path: Path) -> Speech:
    """As the pipeline loads it, with the notices about WAV files first."""
    with whole_wav(path, path.parent) as audio:
        speech = load_speech(audio.path, lambda: False)
    return Speech(speech.samples, (*audio.notices, *speech.notices), speech.source_seconds, speech.sound)


def codes(speech: Speech) -> list[str]:
    return [notice.code for notice in speech.notices]


def lag(heard: Iterable[float], reference: np.ndarray) -> tuple[float, float]:
    """By how many seconds a sound at `SAMPLE_RATE` is late, and how alike both are then, up to 1."""
    first, second = np.asarray(heard, float), reference.astype(float)
    products = correlate(first, second, method="fft")
    best = int(np.argmax(products))
    seconds = correlation_lags(len(first), len(second))[best] / SAMPLE_RATE
    alike = products[best] / (np.linalg.norm(first) * np.linalg.norm(second) + 1e-9)
    return float(seconds), float(alike)
