"""A task: one video to be made, from its submission to its end."""

from dataclasses import dataclass
from enum import Enum

from models.params import GenerationParams


class TaskStatus(str, Enum):
    """The four states old clients know; the last two are final."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether a task in this state never changes again."""
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED)


class Stage(str, Enum):
    """Where a task that is not finished stands on its way."""

    QUEUED = "queued"
    PREPARING = "preparing"
    GENERATING = "generating"
    ENCODING = "encoding"


@dataclass(frozen=True)
class Task:
    """What the journal keeps of a task.

    Times are seconds since the epoch. `attempt` rises with every claim and fences off replicas that
    work on an older one; `failures` counts the attempts that the machinery lost. `sequence` is the
    place in the order of submission, which the journal gives, as it counts every change in `revision`.
    """

    id: str
    engine: str
    params: GenerationParams
    requested_device: str
    created_at: float
    sequence: int | None = None
    revision: int = 0
    priority: int = 0  # higher starts first
    owner: str | None = None  # who submitted it; None while API keys are off
    idempotency_key: str | None = None
    fingerprint: str | None = None  # of the request: its fields and the content of its files
    status: TaskStatus = TaskStatus.PENDING
    stage: Stage | None = Stage.QUEUED
    progress: float = 0.0  # share of the whole job, 0 to 1
    attempt: int = 0
    failures: int = 0
    ticket_id: str | None = None  # the ticket that claimed the running attempt
    holder: str | None = None  # the task manager that handed it out
    device: str | None = None  # where it runs, e.g. "cpu"
    frames_requested: int | None = None
    frames_generated: int = 0
    audio_seconds: float | None = None
    warnings: tuple[str, ...] = ()
    video: str | None = None  # name below the task's folder, set with `completed`
    error: str | None = None
    cancelled: bool = False  # failed, because somebody asked for it
    webhook_url: str | None = None  # who is told of the end
    webhook_failures: int = 0
    webhook_at: float | None = None  # when the next attempt to tell is due; None before the end and after
    started_at: float | None = None
    finished_at: float | None = None


@dataclass(frozen=True)
class TaskReport:
    """What a replica tells about the attempt it works on.

    `counter` rises with every sign of real progress of the worker thread, so that a live replica
    with a hanging thread can be told from a working one.
    """

    task_id: str
    attempt: int
    counter: int
    stage: Stage
    progress: float
    device: str
    frames_requested: int | None
    frames_generated: int
    audio_seconds: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class TaskSnapshot:
    """A task as it stands now, with what only the queue knows.

    `queue_position` is 1 for the task that starts next; `eta_seconds` is the time until the video
    is there, None while nothing is known about the speed.
    """

    task: Task
    queue_position: int | None
    eta_seconds: float | None


@dataclass(frozen=True)
class TaskPage:
    """Some tasks, newest first; `next_cursor` leads to the older ones, None where there are none."""

    snapshots: tuple[TaskSnapshot, ...]
    next_cursor: int | None
