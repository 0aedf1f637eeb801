"""A task: one video to be made, from its submission to its end.

While one release takes over from another, their processes exchange tasks and reports, and share the journal.
For both, tasks and reports have a flat form (`_Flat`), with their original field names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pkgutil import resolve_name
from typing import Any, ClassVar

from models.notices import Notice
from models.params import GenerationParams
from models.progress import Progress, Stage


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


class _StageByName(str):
    """A stage that is pickled under a name that every release can import."""

    def __reduce__(self) -> tuple[Any, ...]:
        return resolve_name, (f"serve_app.task:Stage.{Stage(self).name}",)


class _Flat:
    """A dataclass with a `progress`, and perhaps an `error`, that is exchanged without their types.

    The flat form has `stage`, `progress` (the fraction) and so on side by side, `warnings` and `error` as
    sentences and, under `notices`, as data. A release ignores what it does not know in it and takes defaults
    for what is missing.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    progress: Progress
    error: Notice | None = None

    def flat(self) -> dict[str, Any]:
        """All fields, of types that every release has."""
        warnings = [{"level": "warning", **notice.as_json()} for notice in self.progress.notices]
        errors = [{"level": "error", **self.error.as_json()}] if self.error else []
        return {
            **vars(self),
            "stage": self.progress.stage,
            "progress": self.progress.fraction,
            "frames_requested": self.progress.frames_requested,
            "frames_generated": self.progress.frames_generated,
            "audio_seconds": self.progress.audio_seconds,
            "warnings": self.progress.warnings,
            "error": self.error and self.error.text,
            "notices": warnings + errors,
        }

    def __getstate__(self) -> dict[str, Any]:
        stage = self.progress.stage
        return {**self.flat(), "stage": stage and _StageByName(stage.value)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(self._fields_of(state))

    @classmethod
    def _fields_of(cls, flat: Mapping[str, Any]) -> dict[str, Any]:
        progress = Progress(
            stage=Stage(flat["stage"]) if flat["stage"] else None,
            fraction=flat["progress"],
            frames_generated=flat["frames_generated"],
            frames_requested=flat["frames_requested"],
            audio_seconds=flat["audio_seconds"],
            notices=_notices_of(flat, "warning"),
        )
        errors = _notices_of(flat, "error")
        fields = {**flat, "progress": progress, "error": errors[0] if errors else None}
        return {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}


def _notices_of(flat: Mapping[str, Any], level: str) -> tuple[Notice, ...]:
    """Taken from the data; or from the sentences, if a release that had only those wrote them later."""
    sentences = flat["warnings"] if level == "warning" else [flat["error"]] if flat.get("error") else []
    data = [notice for notice in flat.get("notices") or () if notice["level"] == level]
    if len(data) == len(sentences):
        return tuple(Notice.from_json(notice) for notice in data)
    return tuple(Notice.of("text", text=text) for text in sentences)


@dataclass(frozen=True)
class Task(_Flat):
    """What the journal keeps of a task.

    Times are seconds since the epoch. `attempt` rises with every claim and fences off replicas that
    work on an older one; `failures` counts the attempts that the machinery lost. The journal assigns
    `sequence`, the place in the order of submission, and counts changes in `revision`.
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
    progress: Progress = field(default_factory=Progress)
    attempt: int = 0
    failures: int = 0
    ticket_id: str | None = None  # the ticket that claimed the running attempt
    holder: str | None = None  # the task manager that handed it out
    device: str | None = None  # where it runs, e.g. "cpu"
    video: str | None = None  # name below the task's folder, set with `completed`
    error: Notice | None = None
    cancelled: bool = False  # failed because it was cancelled
    webhook_url: str | None = None  # notified when the task ends
    webhook_failures: int = 0
    webhook_at: float | None = None  # when the next delivery is due; None if none is
    consent: bool = False  # whether the request said that the person shown agrees
    started_at: float | None = None
    finished_at: float | None = None

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> "Task":
        """The task from its flat form, made by this release or another."""
        return cls(**cls._fields_of(values))


@dataclass(frozen=True)
class TaskReport(_Flat):
    """What a replica reports about the attempt it works on.

    `counter` rises with every sign of real progress of the worker thread, so that a live replica
    with a hanging thread can be distinguished from a working one.
    """

    task_id: str
    attempt: int
    counter: int
    device: str
    progress: Progress


@dataclass(frozen=True)
class TaskSnapshot:
    """A task as it stands now, with what only the queue knows.

    `queue_position` is 1 for the task that starts next; `eta_seconds` is the time until the video
    is ready, None while nothing is known about the speed.
    """

    task: Task
    queue_position: int | None
    eta_seconds: float | None


@dataclass(frozen=True)
class TaskPage:
    """Some tasks, newest first; `next_cursor` leads to the older ones, and is None if there are none."""

    snapshots: tuple[TaskSnapshot, ...]
    next_cursor: int | None
