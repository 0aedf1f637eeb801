"""How far a video has progressed. Knows nothing of who makes it or who asks."""

from dataclasses import dataclass
from enum import Enum

from models.notices import Notice


class Stage(str, Enum):
    """The stage that an unfinished video is in."""

    QUEUED = "queued"
    PREPARING = "preparing"
    GENERATING = "generating"
    ENCODING = "encoding"


@dataclass(frozen=True)
class Progress:
    """How far a video has progressed.

    Attributes:
        stage: the current stage; None once there is nothing left to do.
        fraction: share of the whole job that is done, 0 to 1; never decreases.
        frames_generated: frames the engine has handed over.
        frames_requested: frames the video will have; None until the audio is read.
        audio_seconds: how long the audio file lasts; None until it is read.
        notices: what the user should know; complete once `frames_requested` is known.
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
