"""From a speech to one pose a frame: the mouth follows the voice; blinks and sway keep the face alive."""

import numpy as np

from models.frame_rate import FrameRate
from models.preview.lip_sync import MouthTrack, follow
from models.preview.pose import HeadPose, Pose
from models.preview.smooth import smoothstep
from models.voice import RATE, listen

LEAD = 0.015  # seconds that lips are ahead of the sound
HELD = 2 / RATE  # seconds that lips keep their shape after the last sound, which may end within a hundredth
CLOSING = 0.1  # seconds in which they then close, about as fast as the fastest lips
BLINK_TIMES = np.array([0.0, 0.07, 0.11, 0.27])  # seconds; blinks last 0.2 to 0.3 (Caffier et al. 2003)
BLINK_SHUT = np.array([0.0, 1.0, 1.0, 0.0])  # how shut the eyes are then
FIRST_BLINK = (1.0, 2.5)  # seconds
BLINK_PAUSES = (2.0, 6.0)  # seconds
SWAY_RATES = (0.10, 0.32)  # Hz
SWAY_START = 0.8  # seconds until the head, which starts as in the portrait, sways fully


def act(
    samples: np.ndarray, fps: FrameRate, frame_count: int, seed: int, filled: int | None = None
) -> list[Pose]:
    """Play a speech.

    Args:
        samples: float32 mono [n] at 16 kHz; silence follows them.
        fps: frames a second.
        frame_count: how many.
        seed: of blinks and sway; the mouth follows the voice alone.
        filled: how many of them the speech fills, by default all; no blink is cut off by its end.
    """
    track = follow(listen(samples))
    times = (np.arange(frame_count) + 0.5) / float(fps)
    chance = np.random.default_rng(seed)
    blinks = _blinks(times, float((frame_count if filled is None else filled) / fps), chance)
    heads = _sway(times, np.interp(times, _moments(track.energy), track.energy), chance)
    opening, width, press, brow = _mouth(track, times + LEAD)
    return [
        Pose(float(opening[i]), float(width[i]), float(press[i]), float(brow[i]), float(blinks[i]), heads[i])
        for i in range(frame_count)
    ]


def _mouth(track: MouthTrack, times: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(
        _until_silence(curve, times) for curve in (track.opening, track.width, track.press, track.brow)
    )


def _until_silence(curve: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A curve at these times; after its end it is held for a moment, then falls to 0."""
    end = (len(curve) - 1) / RATE
    moments = np.append(_moments(curve), [end + HELD, end + HELD + CLOSING])
    return np.interp(times, moments, np.append(curve, [curve[-1], 0.0]))


def _moments(curve: np.ndarray) -> np.ndarray:
    return np.arange(len(curve)) / RATE


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
