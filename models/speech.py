"""From the bytes of an audio file to the samples an engine listens to."""

from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Speech:
    """What is said.

    Attributes:
        samples: float32 mono [n] at `SAMPLE_RATE`, within [-1, 1]; cut to what the video needs.
        duration: seconds of the whole file, which may be more than `samples` holds.
    """

    samples: np.ndarray
    duration: float
