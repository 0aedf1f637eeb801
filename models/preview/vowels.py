"""Which vowel a sound is closest to, and how a mouth looks that says it."""

import numpy as np

# Cepstra (see `models/preview/voice.py`) of 12 espeak-ng voices, measured by `scripts/measure_vowels.py`, and
# how far each vowel opens and spreads the lips, chosen by eye along the vowel chart of the International
# Phonetic Association.
CENTROIDS = np.array(
    [
        [11.96, 0.73, -4.60, -5.32, 7.55, -2.29, -1.83, 1.43, 2.56, -1.56],  # a as in father
        [9.53, -1.15, 1.91, -1.40, -0.93, -2.61, 2.28, 1.10, 0.91, -2.43],  # ae as in trap
        [8.37, 1.72, 4.76, -4.09, -2.92, -3.35, 3.44, 1.07, 0.04, -1.78],  # e as in dress
        [0.84, 12.36, 13.99, -4.15, 1.99, -0.87, -0.83, -2.87, 1.04, -0.38],  # i as in fleece
        [13.96, 2.86, -3.93, -10.01, 6.98, 0.49, -1.89, -0.22, 0.96, 0.69],  # o as in thought
        [6.77, 2.35, 8.40, 2.77, 3.51, -5.05, -3.29, -2.45, 2.92, -0.30],  # u as in goose
        [8.16, -0.88, 5.40, 0.62, -0.08, -6.55, -0.42, -0.40, 2.68, 0.25],  # schwa as in about
    ]
)
OPENINGS = np.array([1.0, 0.90, 0.72, 0.45, 0.75, 0.32, 0.58])
WIDTHS = np.array([0.10, 0.35, 0.50, 1.0, -0.65, -1.0, -0.05])
VOICE_SPREAD = np.array([0.53, 0.96, 0.95, 1.39, 1.29, 1.70, 1.26, 1.19, 1.21, 1.55])
TOLERANCE = 16.0  # squared spreads; connected speech strays further from the centroids than held vowels
SPEAKER_SHARE = 0.7  # of a speaker's mean that is his voice; the rest is which vowels he happened to say


def vowel_shapes(cepstra: np.ndarray, voiced: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the vowels of a speech open and spread the lips.

    Args:
        cepstra: [n, 10].
        voiced: bool [n], the moments that tell the speaker's voice.

    Returns:
        Openings [n], 0 to 1, and widths [n], -1 rounded to 1 spread; soft between vowels.
    """
    own = cepstra[voiced].mean(axis=0) - CENTROIDS.mean(axis=0)
    centred = cepstra - SPEAKER_SHARE * own
    distance = (((centred[:, None] - CENTROIDS) / VOICE_SPREAD) ** 2).sum(axis=2)
    share = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / (2 * TOLERANCE))
    share /= share.sum(axis=1, keepdims=True)
    return share @ OPENINGS, share @ WIDTHS
