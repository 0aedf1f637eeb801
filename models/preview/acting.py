"""From a speech to one pose a frame: the mouth follows the voice; blinks and sway keep the face alive."""

import numpy as np

from models.preview.lip_sync import MouthTrack, follow
from models.preview.pose import HeadPose, Pose
from models.preview.smooth import smoothstep
from models.voice import RATE, listen

LEAD = 0.015  # seconds that lips are ahead of the sound
BLINK_TIMES = np.array([0.0, 0.07, 0.11, 0.27])  # seconds; blinks last 0.2 to 0.3 (Caffier et al. 2003)
BLINK_SHUT = np.array([0.0, 1.0, 1.0, 0.0])  # how shut the eyes are then
FIRST_BLINK = (1.0, 2.5)  # seconds
BLINK_PAUSES = (2.0, 6.0)  # seconds
SWAY_RATES = (0.10, 0.32)  # Hz
SWAY_START = 0.8  # seconds until the head, which starts as in the portrait, sways fully


def act(samples: np.ndarray, fps: int, frame_count: int, seed: int) -> list[Pose]:
    """Play a speech.

    Args:
        samples: float32 mono [n] at 16 kHz.
        fps: frames a second.
        frame_count: how many.
        seed: of blinks and sway; the mouth follows the voice alone.
    """
    track = follow(listen(samples))
    times = (np.arange(frame_count) + 0.5) / fps
    chance = np.random.default_rng(seed)
    blinks = _blinks(times, frame_count / fps, chance)
    heads = _sway(times, _at(track.energy, times), chance)
    opening, width, press, brow = _mouth(track, times + LEAD)
    return [
        Pose(float(opening[i]), float(width[i]), float(press[i]), float(brow[i]), float(blinks[i]), heads[i])
        for i in range(frame_count)
    ]


def _mouth(track: MouthTrack, times: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(_at(curve, times) for curve in (track.opening, track.width, track.press, track.brow))


def _at(curve: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.interp(times, np.arange(len(curve)) / RATE, curve)


def _blinks(times: np.ndarray, duration: float, chance: np.random.Generator) -> np.ndarray:
    """How shut the eyes are, 0 to 1 [n]; no blink is cut off by the end."""
    shut = np.zeros(len(times))
    start = chance.uniform(*FIRST_BLINK)
    while start + BLINK_TIMES[-1] < duration:
        shut = np.maximum(shut, np.interp(times - start, BLINK_TIMES, BLINK_SHUT))
        start += chance.uniform(*BLINK_PAUSES)
    return smoothstep(shut)


def _sway(times: np.ndarray, energy: np.ndarray, chance: np.random.Generator) -> list[HeadPose]:
    """Two slow sines a direction, larger while the voice is loud, and a nod on it."""
    phases = chance.uniform(0, 2 * np.pi, (5, 2, 1))
    rates = chance.uniform(*SWAY_RATES, (5, 2, 1))
    waves = np.sin(2 * np.pi * rates * times + phases)
    right, up, roll, yaw, pitch = 0.6 * waves[:, 0] + 0.4 * waves[:, 1]
    share = smoothstep(times / SWAY_START) * (0.55 + 0.6 * energy)
    nod = energy - 0.4
    curves = (0.012 * right, 0.006 * up + 0.010 * nod, 0.016 * roll, 0.06 * yaw, 0.04 * pitch + 0.07 * nod)
    return [HeadPose(*map(float, moment)) for moment in (np.stack(curves, axis=1) * share[:, None])]
