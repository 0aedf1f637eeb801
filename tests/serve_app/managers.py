"""A task manager in the process of the test, and the steps of its tests."""

from collections.abc import Callable
from typing import Any

from serve_app.engines.registry import deployments
from serve_app.settings import Settings
from serve_app.task import Task, TaskSnapshot
from serve_app.tasks.journal import Journal
from serve_app.tasks.manager import TaskManager
from serve_app.tasks.manager_client import ManagerClient
from tests.serve_app.new_tasks import report_of

SHIPPED = Settings()
LEASE_S = SHIPPED.lease_s
STALL_S = SHIPPED.stall_timeout_s


def new_manager(
    journal: Journal, settings: Settings = SHIPPED, *, name: str = "the manager", **changes: Any
) -> TaskManager:
    """A manager with the shipped settings, unless others are given."""
    return TaskManager(journal, settings, name=name, **changes)


class Clock:
    """The clock on the wall, which somebody may set, and one that only runs."""

    now = 1_000.0
    set_by = 0.0

    def __call__(self) -> float:
        return self.now + self.set_by

    def steady(self) -> float:
        return self.now


def start(
    journal: Journal,
    clock: Clock,
    *,
    name: str = "the manager",
    has_room: Callable[[], bool] = lambda: True,
    **settings: Any,
) -> TaskManager:
    """A manager with this clock and the shipped settings, except those given."""
    clocks = {"clock": clock, "steady_clock": clock.steady}
    return new_manager(journal, Settings(**settings), name=name, has_room=has_room, **clocks)


def look(manager: TaskManager, task_id: str) -> TaskSnapshot:
    return manager.overview.snapshot(task_id, owner=None)


def state(manager: TaskManager, task_id: str) -> Task:
    return look(manager, task_id).task


def watch(manager: TaskManager, clock: Clock, seconds: float) -> None:
    """Time passes, and leases are looked at every second."""
    for _ in range(int(seconds)):
        clock.now += 1
        manager.expire()


def finish(manager: TaskManager, ticket: str = "ticket") -> Task:
    """Claim the next task and complete it at once."""
    task = manager.claim(ticket, "preview")
    assert task is not None
    assert manager.complete(report_of(task), f"attempt-{task.attempt}.mp4")
    return task


def method_here(manager: TaskManager, method: Any) -> Any:
    """What a method of `TaskManagerActor` calls, of a manager in the process of the test."""
    name = method.__name__
    return getattr(manager if hasattr(manager, name) else manager.overview, name)


class ManagerHere(ManagerClient):
    """Calls this manager, once or, as Ray does where an answer got lost, several times."""

    def __init__(self, manager: TaskManager, times: int = 1):
        super().__init__(Settings(), deployments(), timeout_s=None)
        self._manager = manager
        self._times = times

    async def call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        """The answer to the last call."""
        answers = [method_here(self._manager, method)(*args, **kwargs) for _ in range(self._times)]
        return answers[-1]
