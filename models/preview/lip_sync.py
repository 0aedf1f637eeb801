"""What the mouth does while a speech is heard. Knows nothing of pixels, nor of the frame rate."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, percentile_filter

from models.preview.smooth import smoothstep
from models.preview.vowels import vowel_shapes
from models.voice import LEAST_VOICED, RATE, VOICED, Voice

FASTEST = 10.8  # of the whole opening a second; faster lips look nervous (0.45 a frame at 24 fps)
GAIN_WINDOW = 3.0  # seconds whose loudest moments count as a fully open mouth
GAIN_FLOOR = 0.40  # of the whole speech's loudness: a murmur is not blown up to a shout


@dataclass(frozen=True)
class MouthTrack:
    """The mouth at `RATE` moments a second; each array [n], in the units of `Pose`, and the voice's energy.

    `energy` is 0 in pauses and around 1 in speech, smoothed over syllables: what head and brows follow.
    """

    opening: np.ndarray
    width: np.ndarray
    press: np.ndarray
    brow: np.ndarray
    energy: np.ndarray


def follow(voice: Voice) -> MouthTrack:
    """Move the mouth to a voice; noise without a voice leaves it shut."""
    voiced = smoothstep((voice.harmonicity - VOICED[0]) / (VOICED[1] - VOICED[0]))
    certain = voice.certain
    if certain.sum() < LEAST_VOICED * RATE:
        return MouthTrack(*np.zeros((5, len(voiced))))
    reference = _fully_open(voice.loudness, voiced, certain)
    envelope = np.sqrt(np.clip(voice.loudness * (voiced > 0) / reference, 0, 1.4))
    gate = float(np.clip(1.4 * np.percentile(envelope, 5), 0.13, 0.35))
    loud = np.clip((envelope - gate) / (0.95 - gate), 0, 1.1) * gaussian_filter1d(voiced, 2)
    open_vowel, width = vowel_shapes(gaussian_filter1d(voice.cepstra, 2, axis=0), certain)
    closed = _closures(voice, envelope, certain) * (loud > 0.05)
    opening = loud * (0.20 + 0.95 * open_vowel) * (1 - closed)
    opening = np.maximum(opening, _consonants(voice, reference, envelope))
    opening = gaussian_filter1d(np.clip(_limit_speed(opening), 0, 1), 1.5)
    return MouthTrack(
        opening=opening,
        width=gaussian_filter1d(width * np.clip(3 * opening, 0, 1), 4),
        press=gaussian_filter1d(_murmur(voice, certain) * (loud > 0.05), 1.5),
        brow=_stress(envelope),
        energy=gaussian_filter1d(np.clip(envelope, 0, 1.2), 0.4 * RATE),
    )


def _fully_open(loudness: np.ndarray, voiced: np.ndarray, certain: np.ndarray) -> np.ndarray:
    """The gain control: the loudness [n] that counts as a fully open mouth at each moment."""
    whole = float(np.percentile(loudness[certain], 95))
    recent = percentile_filter(loudness * voiced, 95, int(GAIN_WINDOW * RATE) | 1)
    reference: np.ndarray = np.maximum(gaussian_filter1d(recent, 0.6 * RATE), GAIN_FLOOR * whole)
    return reference


def _murmur(voice: Voice, certain: np.ndarray) -> np.ndarray:
    """1 where only the low band of a voice is left, as in "m": 9 dB and more off the speaker's balance."""
    usual = float(np.median(voice.brightness[certain]))
    return np.clip((usual - 9 - voice.brightness) / 6, 0, 1)


def _closures(voice: Voice, envelope: np.ndarray, certain: np.ndarray) -> np.ndarray:
    """How far lips or tongue close [n]: in nasals, and in short dips between vowels as in "b" and "p"."""
    around = maximum_filter1d(envelope, 19)
    dip = np.clip((around - envelope) / np.maximum(around, 0.2) - 0.35, 0, 0.65) / 0.65
    return np.asarray(1 - (1 - 0.75 * _murmur(voice, certain)) * (1 - 0.55 * dip))


def _consonants(voice: Voice, reference: np.ndarray, envelope: np.ndarray) -> np.ndarray:
    """The small opening of "s" and "sh": hiss that a voice precedes or follows within 120 ms."""
    hissing = np.clip(2 * (voice.hiss / voice.loudness - 0.7), 0, 1)
    heard = voice.hiss > 0.04 * reference
    nearby = maximum_filter1d(envelope > 0.4, int(0.24 * RATE) | 1)
    return np.asarray(0.16 * hissing * heard * nearby)


def _limit_speed(opening: np.ndarray) -> np.ndarray:
    """The largest curve under `opening` that never moves faster than `FASTEST`: closed lips stay closed."""
    step = FASTEST / RATE
    ramp = step * np.arange(len(opening))
    falling = np.minimum.accumulate(opening - ramp) + ramp
    rising = np.minimum.accumulate((opening + ramp)[::-1])[::-1] - ramp
    limited: np.ndarray = np.minimum(falling, rising)
    return limited


def _stress(envelope: np.ndarray) -> np.ndarray:
    """1 on syllables that stand out of the second around them."""
    syllable, sentence = gaussian_filter1d(envelope, 8), gaussian_filter1d(envelope, 60)
    stress: np.ndarray = gaussian_filter1d(np.clip(2.5 * (syllable - sentence) - 0.3, 0, 1), 8)
    return stress
