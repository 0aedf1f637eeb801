"""The protocol of every engine: a scene in, frames out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.errors import Cancelled
from models.params import GenerationParams
from models.portrait import FaceDetector, Portrait
from models.speech import Speech


@dataclass(frozen=True)
class Scene:
    """What a video is made from.

    Attributes:
        portrait: the cropped portrait, `params.height` × `params.width`.
        speech: all of it; it may end within the last frame.
        params: the parameters.
        frame_count: how many frames the video will have, 2 or more.
    """

    portrait: Portrait
    speech: Speech
    params: GenerationParams
    frame_count: int


@dataclass(frozen=True)
class Control:
    """How the caller follows an engine, and how it stops it.

    Attributes:
        progress: called with the share of the work that is done, 0 to 1, which never decreases.
        should_stop: True once the caller wants no more frames.
    """

    progress: Callable[[float], None]
    should_stop: Callable[[], bool]

    def stop_if_asked(self) -> None:
        """Raise `Cancelled` once `should_stop` is True."""
        if self.should_stop():
            raise Cancelled("stopped on request")


class Engine(Protocol):
    """Turns a portrait and a speech into frames."""

    name: str  # as reported in the task: "preview" or "echomimic"
    device: str  # as torch spells it: "cpu", "cuda:0"

    @property
    def face_detector(self) -> FaceDetector | None:
        """By which its portraits are cropped; None: by their landmarks."""
        ...

    def frames(self, scene: Scene, control: Control) -> Iterator[np.ndarray]:
        """Yield exactly `scene.frame_count` frames, in order, in blocks.

        `control.stop_if_asked` is called at least once per block (of the diffusion: per window).

        Yields:
            uint8 RGB arrays [n, height, width, 3], n ≥ 1. Each belongs to the caller, which still reads it
            (to encode it) while the next one is made: its memory must not be reused.

        Raises:
            Cancelled: the caller asked to stop.
            InputError: this engine cannot use the portrait or a parameter.
        """
        ...

    def check_device(self) -> None:
        """Make the device compute something tiny; may be called from any thread, also while `frames` runs.

        Raises:
            RuntimeError: the device stopped responding; no later call will succeed.
        """
        ...
