"""Tasks for tests."""

from typing import Any

from models.params import GenerationParams
from serve_app.task import Stage, Task, TaskReport


def new_task(task_id: str, **changes: Any) -> Task:
    """A task as the ingress submits it."""
    fields = {"engine": "preview", "params": GenerationParams(), "requested_device": "cpu", "created_at": 0.0}
    return Task(id=task_id, **{**fields, **changes})


def report_of(task: Task, counter: int = 1, **changes: Any) -> TaskReport:
    """What a replica that works on this attempt reports."""
    fields = {
        "stage": Stage.GENERATING,
        "progress": 0.5,
        "device": "cpu",
        "frames_requested": 100,
        "frames_generated": 50,
        "audio_seconds": 4.2,
        "warnings": ("a warning",),
    }
    return TaskReport(task_id=task.id, attempt=task.attempt, counter=counter, **{**fields, **changes})
