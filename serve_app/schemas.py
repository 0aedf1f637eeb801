"""What the answers of the REST contract hold. Plain data: a client needs no more of this package."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from pydantic import BaseModel, Field

from serve_app.task import Stage, TaskPage, TaskSnapshot, TaskStatus


class SubmittedTask(BaseModel):
    """The answer to `POST /generate_video`."""

    task_id: str
    status: TaskStatus


class TaskResponse(BaseModel):
    """The answer to `GET /task/{task_id}`. The first four fields are those of the original service."""

    task_id: str
    status: TaskStatus
    output_file: str | None = Field(
        description="Name of the video once completed; `GET /download/{task_id}` delivers it."
    )
    error: str | None
    cancelled: bool = Field(description="Whether it is failed because somebody cancelled it.")
    stage: Stage | None = Field(description="Where an unfinished task stands; null once finished.")
    progress: float = Field(ge=0, le=1, description="Share of the whole job that is done.")
    priority: int
    queue_position: int | None = Field(description="1 for the pending task that starts next.")
    eta_seconds: float | None = Field(
        description="Estimated seconds until the video is there; null while nothing is known."
    )
    created_at: datetime
    started_at: datetime | None = Field(description="When the running or last attempt started.")
    finished_at: datetime | None
    engine: str = Field(description="Which engine makes or made the video.")
    device: str | None = Field(description="Where it runs or ran.")
    width: int
    height: int
    fps: int
    seed: int
    frames_requested: int | None = Field(
        description="Frames the video will have: the audio at fps, but at most length. Known once prepared."
    )
    frames_generated: int
    audio_seconds: float | None = Field(description="Duration of the whole upload. Known once prepared.")
    attempt: int = Field(description="How often work on this task was started.")
    download_url: str | None = Field(
        description="Path of the video once completed; where keys are needed, it opens for a while without."
    )
    warnings: list[str] = Field(description="What was done otherwise than one might expect, and why.")

    @classmethod
    def of(cls, snapshot: TaskSnapshot, sign_url: Callable[[str], str]) -> "TaskResponse":
        """What a client is told of a task.

        Args:
            snapshot: the task as it stands.
            sign_url: makes a path one that the client can open in a browser.
        """
        task = snapshot.task
        completed = task.status is TaskStatus.COMPLETED
        return cls(
            task_id=task.id,
            status=task.status,
            output_file=f"output/videos/{task.id}_with_audio.mp4" if completed else None,
            error=task.error,
            cancelled=task.cancelled,
            stage=task.stage,
            progress=round(task.progress, 4),
            priority=task.priority,
            queue_position=snapshot.queue_position,
            eta_seconds=None if snapshot.eta_seconds is None else round(snapshot.eta_seconds, 1),
            created_at=_utc(task.created_at),
            started_at=_utc(task.started_at) if task.started_at else None,
            finished_at=_utc(task.finished_at) if task.finished_at else None,
            engine=task.engine,
            device=task.device,
            width=task.params.width,
            height=task.params.height,
            fps=task.params.fps,
            seed=task.params.seed,
            frames_requested=task.frames_requested,
            frames_generated=task.frames_generated,
            audio_seconds=task.audio_seconds,
            attempt=task.attempt,
            download_url=sign_url(f"/download/{task.id}") if completed else None,
            warnings=list(task.warnings),
        )


class TaskListResponse(BaseModel):
    """The answer to `GET /tasks`."""

    tasks: list[TaskResponse] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="The `cursor` that leads to the older ones; null at the end.")

    @classmethod
    def of(cls, page: TaskPage, sign_url: Callable[[str], str]) -> "TaskListResponse":
        """What a client is told of some tasks; see `TaskResponse.of`."""
        cursor = None if page.next_cursor is None else str(page.next_cursor)
        return cls(
            tasks=[TaskResponse.of(snapshot, sign_url) for snapshot in page.snapshots], next_cursor=cursor
        )


@dataclass(frozen=True)
class EngineHealth:
    """Whether an engine takes tasks; `reason` says why not, or what the first task must wait for."""

    replicas: int
    ready: bool
    reason: str | None = None


class HealthResponse(BaseModel):
    """The answer to `GET /health`; that it answers at all means that the service is alive."""

    alive: Literal[True] = True
    ready: bool = Field(description="Whether a task sent now would be worked on.")
    reason: str | None = Field(description="Why the service is not ready.")
    engine: str = Field(description="What makes the video of a task that asks for no engine.")
    engines: dict[str, EngineHealth]
    pending: int = Field(description="Tasks that wait.")
    processing: int = Field(description="Tasks that are worked on.")


class ErrorDetail(BaseModel):
    """What went wrong, for programs and for people."""

    type: str
    message: str
    field: str | None = None
    allowed: str | None = None


class ErrorResponse(BaseModel):
    """The one shape of every error; `detail` repeats the message where FastAPI's clients look for it."""

    error: ErrorDetail
    detail: str


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
