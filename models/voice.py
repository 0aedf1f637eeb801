"""What is heard in a speech, 100 times a second. Knows nothing of faces."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import grey_opening

from models.errors import Cancelled
from models.speech import SAMPLE_RATE, as_floats

RATE = 100  # values a second
HOP = SAMPLE_RATE // RATE
WINDOW = 640  # samples: 40 ms hold three periods of the deepest voice
FFT = 1024
BLOCK = 10 * RATE  # values computed at a time: memory does not grow with the length of the speech

PITCHES = (70.0, 400.0)  # Hz, from a deep man to a child
VOICE_BAND = (80.0, 4000.0)  # Hz, where harmonicity is measured
LOUDNESS_BAND = (150.0, 4000.0)  # Hz, what an opening mouth lets out
MURMUR_BAND = (90.0, 350.0)  # Hz, what is left behind closed lips
OPEN_BAND = (600.0, 4000.0)  # Hz, what closed lips take away
HISS_BAND = (4500.0, 7900.0)  # Hz, "s" and "sh"
MEL_BANDS, MEL_RANGE = 22, (120.0, 5500.0)
CEPSTRA = 10
SILENCE = 1e-14  # power added to all, so that digital silence has ratios and logarithms too
STEADY = 5  # values: a pitch shorter than 50 ms is a click

VOICED = (0.35, 0.55)  # harmonicity: noise ends, voice begins
QUIETEST = 3e-4  # RMS: a voice below -70 dB of full scale is not meant to be heard
LEAST_VOICED = 0.05  # seconds; with less there is no speech to follow


@dataclass(frozen=True)
class Voice:
    """Features of n moments, each the middle of its window.

    Attributes:
        loudness: RMS in `LOUDNESS_BAND` [n], full scale is 1.
        hiss: RMS in `HISS_BAND` [n].
        brightness: dB of `OPEN_BAND` over `MURMUR_BAND` [n].
        harmonicity: 0 noise to 1 a pure voice [n].
        cepstra: mel-frequency cepstral coefficients 1 to `CEPSTRA` [n, CEPSTRA].
    """

    loudness: np.ndarray
    hiss: np.ndarray
    brightness: np.ndarray
    harmonicity: np.ndarray
    cepstra: np.ndarray

    @property
    def certain(self) -> np.ndarray:
        """Whether a voice is certainly heard, bool [n]."""
        return np.asarray((self.harmonicity > np.mean(VOICED)) & (self.loudness > QUIETEST))


def listen(samples: np.ndarray) -> Voice:
    """Hear a speech.

    Args:
        samples: float32 mono [n] at `SAMPLE_RATE`.
    """
    parts = [_features(power) for power in _spectra(samples)]
    joined = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Voice)
    }
    joined["harmonicity"] = grey_opening(joined["harmonicity"], STEADY)
    return Voice(**joined)


def has_voice(samples: np.ndarray, should_stop: Callable[[], bool]) -> bool:
    """Whether there is a voice anywhere in a speech; noise and silence are none.

    Args:
        samples: int16 mono [n] at `SAMPLE_RATE`, any number of hours.
        should_stop: called once for ten seconds of the speech.

    Raises:
        Cancelled: `should_stop` returned True.
    """
    heard = 0
    for start in range(0, len(samples), BLOCK * HOP):
        if should_stop():
            raise Cancelled("stopped while a voice was looked for")
        piece = as_floats(samples[start : start + BLOCK * HOP])
        if np.abs(piece).max() > QUIETEST:
            heard += int(listen(piece).certain.sum())
        if heard >= LEAST_VOICED * RATE:
            return True
    return False


def _spectra(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Power spectra [FFT / 2 + 1, up to BLOCK]; their sum over frequency is the mean square."""
    import librosa

    window_power = float((librosa.filters.get_window("hann", WINDOW) ** 2).sum())
    padded = np.pad(samples, FFT // 2)
    count = len(samples) // HOP + 1
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        part = padded[start * HOP : (stop - 1) * HOP + FFT]
        spectrum = librosa.stft(part, n_fft=FFT, hop_length=HOP, win_length=WINDOW, center=False)
        yield np.abs(spectrum) ** 2 * (2 / (FFT * window_power))


def _features(power: np.ndarray) -> Voice:
    return Voice(
        loudness=np.sqrt(_band(power, LOUDNESS_BAND)),
        hiss=np.sqrt(_band(power, HISS_BAND)),
        brightness=10 * np.log10(_band(power, OPEN_BAND) / _band(power, MURMUR_BAND)),
        harmonicity=_harmonicity(power),
        cepstra=_cepstra(power),
    )


def _in_band(band: tuple[float, float]) -> np.ndarray:
    frequencies = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
    return (frequencies >= band[0]) & (frequencies <= band[1])


def _band(power: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    return np.asarray(power[_in_band(band)].sum(axis=0) + SILENCE)


def _harmonicity(power: np.ndarray) -> np.ndarray:
    """The highest peak of the autocorrelation at the lag of a pitch, over the window's own (Boersma 1993).

    White noise stays under 0.25, voiced speech is mostly above 0.5.
    """
    import librosa

    window = np.abs(np.fft.rfft(librosa.filters.get_window("hann", WINDOW), FFT)) ** 2
    shortest, longest = (int(SAMPLE_RATE / pitch) for pitch in reversed(PITCHES))
    window_correlation = np.fft.irfft(window)[: longest + 1]
    correlation = np.fft.irfft(power * _in_band(VOICE_BAND)[:, None], axis=0)[: longest + 1]
    ratio = correlation / (correlation[0] + SILENCE) / (window_correlation / window_correlation[0])[:, None]
    harmonicity: np.ndarray = np.clip(ratio[shortest:].max(axis=0), 0, 1)
    return harmonicity


def _cepstra(power: np.ndarray) -> np.ndarray:
    import librosa

    low, high = MEL_RANGE
    mel = librosa.feature.melspectrogram(
        S=power, sr=SAMPLE_RATE, n_fft=FFT, n_mels=MEL_BANDS, fmin=low, fmax=high, htk=True
    )
    return np.asarray(librosa.feature.mfcc(S=np.log(mel + SILENCE), n_mfcc=CEPSTRA + 1)[1:].T)
