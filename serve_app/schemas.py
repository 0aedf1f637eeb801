"""The answers of the REST contract. Plain data: clients can use it without the rest of the service."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal, Union

from pydantic import BaseModel, Field

from models.frame_rate import as_number
from models.notices import Notice
from models.progress import Stage
from serve_app.task import TaskPage, TaskSnapshot, TaskStatus


class SubmittedTask(BaseModel):
    """The answer to `POST /generate_video`."""

    task_id: str
    status: TaskStatus


class NoticeContent(BaseModel):
    """Something to know about a task, as data and as a sentence."""

    code: str = Field(description="What it is; docs/api.md lists the codes and their values.")
    values: dict[str, Union[int, float, str, "NoticeContent"]]
    text: str = Field(description="The same in English.")

    @classmethod
    def of(cls, notice: Notice) -> "NoticeContent":
        """The data of a notice, and of the one that is its reason."""
        return cls(code=notice.code, values=_values_of(notice), text=notice.text)


class NoticeResponse(NoticeContent):
    """One of a task's warnings, or its error."""

    level: Literal["warning", "error"]


class TaskResponse(BaseModel):
    """The answer to `GET /task/{task_id}`. The first four fields are those of the original service."""

    task_id: str
    status: TaskStatus
    output_file: str | None = Field(
        description="Name of the video once completed; `GET /download/{task_id}` delivers it."
    )
    error: str | None
    cancelled: bool = Field(description="Whether it failed because it was cancelled.")
    stage: Stage | None = Field(description="Where an unfinished task stands; null once finished.")
    progress: float = Field(ge=0, le=1, description="Share of the whole job that is done.")
    priority: int
    queue_position: int | None = Field(description="1 for the pending task that starts next.")
    eta_seconds: float | None = Field(
        description="Estimated seconds until the video is ready; null while unknown."
    )
    created_at: datetime
    started_at: datetime | None = Field(description="When the running or last attempt started.")
    finished_at: datetime | None
    engine: str = Field(description="Which engine makes or made the video.")
    device: str | None = Field(description="The device on which it runs or ran.")
    width: int
    height: int
    fps: int | float = Field(
        description="Frames per second; a rate that is not whole has three decimals at most."
    )
    seed: int
    frames_requested: int | None = Field(
        description="Frames the video will have: as many as show the audio to its end at fps, but at most "
        "length. Known once prepared."
    )
    frames_generated: int
    audio_seconds: float | None = Field(description="Duration of the whole upload. Known once prepared.")
    attempt: int = Field(description="How often work on this task was started.")
    download_url: str | None = Field(
        description="Path of the video once completed; where API keys are required, it is signed and opens "
        "without a key for a while."
    )
    warnings: list[str] = Field(description="What differs from what one might expect, and why.")
    # The previous release sends none, and the client of this one may ask it.
    notices: list[NoticeResponse] = Field(
        default_factory=list, description="The warnings, then the error, as data."
    )

    @classmethod
    def of(
        cls, snapshot: TaskSnapshot, sign_url: Callable[[str], str], more: Iterable[Notice] = ()
    ) -> "TaskResponse":
        """What a client sees of a task.

        Args:
            snapshot: the task as it stands.
            sign_url: turns a path into one that the client can open in a browser.
            more: warnings beyond those of the task.
        """
        task = snapshot.task
        warnings = [*task.progress.notices, *more]
        completed = task.status is TaskStatus.COMPLETED
        return cls(
            task_id=task.id,
            status=task.status,
            output_file=f"output/videos/{task.id}_with_audio.mp4" if completed else None,
            error=task.error and task.error.text,
            cancelled=task.cancelled,
            stage=task.progress.stage,
            progress=round(task.progress.fraction, 4),
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
            fps=as_number(task.params.fps),
            seed=task.params.seed,
            frames_requested=task.progress.frames_requested,
            frames_generated=task.progress.frames_generated,
            audio_seconds=task.progress.audio_seconds,
            attempt=task.attempt,
            download_url=sign_url(f"/download/{task.id}") if completed else None,
            warnings=[notice.text for notice in warnings],
            notices=[
                *(_notice("warning", notice) for notice in warnings),
                *([_notice("error", task.error)] if task.error else []),
            ],
        )


class TaskListResponse(BaseModel):
    """The answer to `GET /tasks`."""

    tasks: list[TaskResponse] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="The `cursor` that leads to the older ones; null at the end.")

    @classmethod
    def of(cls, page: TaskPage, sign_url: Callable[[str], str]) -> "TaskListResponse":
        """What a client sees of a page of tasks; see `TaskResponse.of`."""
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


@dataclass(frozen=True)
class Health:
    """The application as last observed; its status is Serve's, and None while Serve does not know it."""

    application: str | None = None
    engines: Mapping[str, EngineHealth] = field(default_factory=dict)


class HealthResponse(BaseModel):
    """The answer to `GET /health`; that it answers at all means that the service is alive."""

    alive: Literal[True] = True
    ready: bool = Field(description="Whether a task sent now would be worked on.")
    reason: str | None = Field(description="Why the service is not ready.")
    engine: str = Field(description="The engine of a task that asks for none.")
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


def _values_of(notice: Notice) -> dict[str, int | float | str | NoticeContent]:
    return {
        name: NoticeContent.of(value) if isinstance(value, Notice) else value for name, value in notice.values
    }


def _notice(level: Literal["warning", "error"], notice: Notice) -> NoticeResponse:
    return NoticeResponse(level=level, code=notice.code, values=_values_of(notice), text=notice.text)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
