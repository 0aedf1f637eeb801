"""What the face does in one frame. Knows nothing of how it is drawn or why it does so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadPose:
    """How far the head is from where the portrait has it."""

    right: float = 0.0  # face heights
    up: float = 0.0  # face heights
    roll: float = 0.0  # radians, clockwise on the screen
    yaw: float = 0.0  # radians, towards the right of the picture
    pitch: float = 0.0  # radians, upwards


@dataclass(frozen=True)
class Pose:
    """One frame of acting; the default is the portrait at rest with its lips closed."""

    opening: float = 0.0  # of the lips, 0 closed to 1 as in a loud "ah"
    width: float = 0.0  # of the mouth, -1 rounded as in "oo" to 1 spread as in "ee"
    press: float = 0.0  # of the lips on each other, 0 to 1 as in "mm"
    brow: float = 0.0  # 0 to 1 raised
    blink: float = 0.0  # 0 open to 1 shut
    head: HeadPose = HeadPose()
