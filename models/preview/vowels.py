"""Which vowel a sound is closest to, and how a mouth looks that says it."""

import numpy as np

# Cepstra (see `models/voice.py`) of 12 espeak-ng voices, measured by `scripts/measure_vowels.py`, and
# how far each vowel opens and spreads the lips, chosen by eye along the vowel chart of the International
# Phonetic Association.
CENTROIDS = np.array(
    [
        [12.81, 0.42, -4.32, -6.04, 8.43, -2.78, -1.79, 1.37, 2.94, -2.03],  # a as in father
        [10.07, -1.66, 2.39, -1.86, -0.52, -2.98, 2.60, 0.82, 1.16, -2.65],  # ae as in trap
        [8.87, 1.27, 5.24, -4.53, -2.59, -3.67, 3.76, 0.85, 0.22, -1.98],  # e as in dress
        [0.68, 13.79, 15.61, -5.22, 1.46, -1.13, -0.41, -3.12, 1.33, -0.32],  # i as in fleece
        [15.23, 2.35, -3.37, -11.13, 8.11, 0.02, -1.88, -0.37, 1.35, 0.43],  # o as in thought
        [7.49, 1.68, 9.24, 2.28, 4.04, -5.59, -3.11, -2.76, 3.23, -0.35],  # u as in goose
        [9.02, -1.65, 6.11, 0.03, 0.44, -7.02, -0.05, -0.69, 2.90, 0.11],  # schwa as in about
    ]
)
OPENINGS = np.array([1.0, 0.90, 0.72, 0.45, 0.75, 0.32, 0.58])
WIDTHS = np.array([0.10, 0.35, 0.50, 1.0, -0.65, -1.0, -0.05])
VOICE_SPREAD = np.array([0.66, 1.01, 1.09, 1.55, 1.41, 1.78, 1.41, 1.23, 1.28, 1.62])
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
