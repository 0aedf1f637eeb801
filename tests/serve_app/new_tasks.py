"""Tasks for tests."""

from typing import Any

from models.notices import Notice
from models.params import GenerationParams
from models.progress import Progress, Stage
from serve_app.task import Task, TaskReport

A_WARNING = Notice.of("several_faces", count=2)
DIED = Notice.of("replica_died")
NO_ROOM = Notice.of("disk_full", reason="No space left on device")

DIED = Notice.of("replica_died")
NO_ROOM = Notice.of("disk_full", reason="No space left on device")


def new_task(task_id: str, **changes: Any) -> Task:
    """A task as the ingress submits it."""
    fields = {"engine": "preview", "params": GenerationParams(), "requested_device": "cpu", "created_at": 0.0}
    return Task(id=task_id, **{**fields, **changes})


def report_of(task: Task, counter: int = 1, fraction: float = 0.5) -> TaskReport:
    """What a replica that works on this attempt reports."""
    progress = Progress(Stage.GENERATING, fraction, 50, 100, 4.2, (A_WARNING,))
    return TaskReport(task.id, task.attempt, counter, "cpu", progress)
