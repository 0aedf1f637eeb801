# mypy: ignore-errors
# It runs on the classes of the release before, which mypy does not see.
"""A process of the release before this one, with its modules in memory and this release's nowhere.

`python OLD_PROCESS [make]`, started in that release's folder: makes samples of what its processes send each
other, or compares with them what comes back.
"""

import importlib
import inspect
import pickle
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))

from models.params import GenerationParams
from serve_app.errors import IdempotencyKeyReused, JournalUnavailable, QueueFull, StorageFull, TaskNotFound
from serve_app.settings import Settings
from serve_app.task import Stage, Task, TaskPage, TaskReport, TaskSnapshot, TaskStatus

# What an ingress and a replica have in memory beside that.
importlib.import_module("serve_app.api")
importlib.import_module("serve_app.engine")
TaskManagerActor = importlib.import_module("serve_app.manager_actor").TaskManagerActor


def samples() -> dict[str, Any]:
    """What goes from one process to another, no field at its default."""
    task = Task(
        id="a",
        engine="preview",
        params=GenerationParams(256, 256, 24, 7, 0.2, 0.4, 8, 2, 2.0, 9, 25),
        requested_device="cuda",
        created_at=1.5,
        sequence=3,
        revision=4,
        priority=5,
        owner="somebody",
        idempotency_key="key",
        fingerprint="print",
        status=TaskStatus.PROCESSING,
        stage=Stage.GENERATING,
        progress=0.5,
        attempt=2,
        failures=1,
        ticket_id="ticket",
        holder="node",
        device="cpu",
        frames_requested=24,
        frames_generated=12,
        audio_seconds=1.25,
        warnings=("2 faces were found; the largest one speaks",),
        video="attempt-2.mp4",
        error="speech: too quiet",
        cancelled=True,
        webhook_url="https://example.com",
        webhook_failures=1,
        webhook_at=2.5,
        started_at=3.5,
        finished_at=4.5,
    )
    return {
        "task": task,
        "report": TaskReport(
            "a",
            2,
            9,
            Stage.GENERATING,
            0.5,
            "cpu",
            24,
            12,
            1.25,
            ("2 faces were found; the largest one speaks",),
        ),
        "snapshot": TaskSnapshot(task, 1, 2.5),
        "page": TaskPage((TaskSnapshot(task, None, None),), 3),
        "identity": (4, Settings(data_dir=Path("/data"), lease_s=7)),
        "not found": TaskNotFound("a"),
        "queue full": QueueFull("9 tasks wait", 30),
        "storage full": StorageFull(),
        "journal unavailable": JournalUnavailable(unsure=True),
        "key reused": IdempotencyKeyReused("key"),
        "calls": {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(TaskManagerActor, inspect.isfunction)
        },
    }


def differences(answers: dict[str, Any]) -> list[str]:
    """What did not come back as it went."""
    return [
        f"{name}: {_state(answers[name])} instead of {_state(sample)}"
        for name, sample in samples().items()
        if _state(answers[name]) != _state(sample)
    ]


def _state(answer: Any) -> Any:
    # Exceptions are equal to themselves only.
    return (type(answer), answer.args, vars(answer)) if isinstance(answer, Exception) else answer


if __name__ == "__main__":
    if "make" in sys.argv:
        sys.stdout.buffer.write(pickle.dumps(samples()))
    else:
        print(*differences(pickle.load(sys.stdin.buffer)), sep="\n")
