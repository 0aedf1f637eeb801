"""What other processes rely on: the names they call, and loops that never end."""

import asyncio
import inspect
import logging

import pytest

from serve_app.errors import StorageFull
from serve_app.tasks.actor import TaskManagerActor, every

# What replicas and ingresses of the releases since 906f329 call.
CALLED = {
    "identity": [],
    "health": [],
    "admit": ["owner", "idempotency_key"],
    "knows": ["owner", "idempotency_key"],
    "repeated": ["owner", "idempotency_key", "fingerprint"],
    "submit": ["task"],
    "snapshot": ["task_id", "owner"],
    "page": ["owner", "status", "cursor", "limit"],
    "counts": [],
    "cancel": ["task_id", "owner"],
    "remove": ["task_id", "owner"],
    "claim": ["ticket_id", "engine"],
    "report": ["report"],
    "complete": ["report", "video"],
    "reject": ["task_id", "attempt", "error"],
    "lose": ["task_id", "attempt", "reason", "disk_full"],
}


def test_the_actor_exposes_what_earlier_releases_call_and_nothing_else():
    methods = inspect.getmembers(TaskManagerActor, inspect.isfunction)
    parameters = {
        name: list(inspect.signature(method).parameters)[1:]
        for name, method in methods
        if not name.startswith("_")
    }
    assert parameters == CALLED


@pytest.mark.parametrize("name", CALLED)
def test_a_method_calls_the_one_of_its_name(name):
    assert getattr(TaskManagerActor, name).__name__ == name


@pytest.mark.parametrize(
    ("error", "line", "has_trace"),
    [
        (StorageFull("no room"), "counting failed, next try in 0 s: no room", False),
        (RuntimeError("unexpected"), "counting failed, next try in 0 s", True),
    ],
)
def test_a_step_that_fails_is_logged_and_taken_again(caplog, error, line, has_trace):
    taken = []

    async def count():
        taken.append(1)
        if len(taken) == 3:
            raise asyncio.CancelledError
        raise error

    with caplog.at_level(logging.WARNING, "ray.serve"), pytest.raises(asyncio.CancelledError):
        asyncio.run(every(0, count, "counting"))
    assert [record.getMessage() for record in caplog.records] == [line, line]
    assert [bool(record.exc_info) for record in caplog.records] == [has_trace, has_trace]
