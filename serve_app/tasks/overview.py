"""Answers questions about tasks: their state, and the request they came from. Changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from serve_app.errors import IdempotencyKeyReused, TaskNotFound
from serve_app.task import Task, TaskPage, TaskSnapshot, TaskStatus
from serve_app.tasks.active import ActiveTasks
from serve_app.tasks.forecast import Forecast
from serve_app.tasks.journal import Journal


@dataclass(frozen=True)
class Overview:
    """Looks up the tasks of one manager, in memory and in its journal.

    Args:
        journal: knows every task.
        active: knows the latest about the unfinished ones.
        forecast: how long tasks take.
        clock: seconds since the epoch.
    """

    journal: Journal
    active: ActiveTasks
    forecast: Forecast
    clock: Callable[[], float]

    def task(self, task_id: str, owner: str | None) -> Task:
        """The task with this id, if it belongs to this owner; with None as owner, any task.

        Raises:
            TaskNotFound: there is no such task, or it is another owner's.
        """
        task = self.active.find(task_id)
        if task is None or owner not in (None, task.owner):
            raise TaskNotFound(task_id)
        return task

    def snapshot(self, task_id: str, owner: str | None) -> TaskSnapshot:
        """The current state of a task.

        Raises:
            TaskNotFound: see `task`.
        """
        return self.look(self.task(task_id, owner))

    def page(self, owner: str | None, status: TaskStatus | None, cursor: int | None, limit: int) -> TaskPage:
        """The current state of tasks, newest first.

        Args:
            owner: only this owner's; None for all.
            status: only those with this status; None for all.
            cursor: where another page ended; None begins with the newest.
            limit: the maximum number of tasks.
        """
        found = self.journal.newest(owner=owner, status=status, before=cursor, limit=limit + 1)
        snapshots = tuple(self.look(self.active.current(task)) for task in found[:limit])
        return TaskPage(snapshots, found[limit - 1].sequence if len(found) > limit else None)

    def counts(self) -> dict[TaskStatus, int]:
        """How many tasks are pending and how many processing."""
        return self.active.counts()

    def knows(self, owner: str | None, idempotency_key: str | None) -> bool:
        """Whether this owner has submitted a task with this key; False without a key."""
        return self._with_key(owner, idempotency_key) is not None

    def repeated(self, owner: str | None, idempotency_key: str, fingerprint: str) -> Task | None:
        """The task that this owner submitted with this key, if there is one.

        Raises:
            IdempotencyKeyReused: the key was used for a different request.
        """
        known = self._with_key(owner, idempotency_key)
        if known is not None:
            check_same_request(known, fingerprint)
        return known

    def known(self, task: Task) -> Task | None:
        """The task submitted before with the same id, or with the same owner and key, if there is one."""
        return self.active.find(task.id) or self._with_key(task.owner, task.idempotency_key)

    def look(self, task: Task) -> TaskSnapshot:
        """This task with its place in the queue and its estimated time."""
        position = self.active.position(task)
        eta = self.forecast.eta(task, position, self.active.processing(), self.clock())
        return TaskSnapshot(task, position, eta)

    def _with_key(self, owner: str | None, idempotency_key: str | None) -> Task | None:
        return None if idempotency_key is None else self.journal.with_key(owner, idempotency_key)


def check_same_request(known: Task, fingerprint: str | None) -> None:
    """Refuse another request with the idempotency key of this task.

    Raises:
        IdempotencyKeyReused: the fingerprint is not that of the task's request.
    """
    if known.fingerprint != fingerprint:
        raise IdempotencyKeyReused(str(known.idempotency_key))
