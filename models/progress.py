"""How far a video is. Knows nothing of who makes it or who asks."""

from dataclasses import dataclass
from enum import Enum

from models.notices import Notice


class Stage(str, Enum):
    """What is being done about a video that is not finished."""

    QUEUED = "queued"
    PREPARING = "preparing"
    GENERATING = "generating"
    ENCODING = "encoding"


@dataclass(frozen=True)
class Progress:
    """How far a video is.

    Attributes:
        stage: what is being done; None once there is nothing left to do.
        fraction: of the whole job, 0 to 1, never falling.
        frames_generated: frames the engine has handed over.
        frames_requested: frames the video will have; None until the audio is read.
        audio_seconds: how long the audio file lasts; None until it is read.
        notices: what the user should know, complete once `frames_requested` is.
    """

    stage: Stage | None = Stage.QUEUED
    fraction: float = 0.0
    frames_generated: int = 0
    frames_requested: int | None = None
    audio_seconds: float | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notices as sentences."""
        return tuple(notice.text for notice in self.notices)
