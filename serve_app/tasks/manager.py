"""The life cycle of tasks: submission, claims, reports, ends. Knows nothing of Ray.

A task is pending until a replica claims it. While the replica works it reports, and the answer tells it
whether the attempt is still wanted. An attempt that stops reporting or makes no progress is given up, and
the task waits for another, up to `max_failures` times. Every change is in the journal before it is
answered, so that a successor goes on where this manager ended.

Several managers may share a journal. The one that leads hands out work; every other only watches over
what it handed out before. No manager overwrites a change that another one made.

Methods that take an `owner` touch only the tasks of this owner, and all tasks for None.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from models.notices import Notice
from models.progress import Stage
from serve_app.errors import StorageFull, TaskFinished, TaskNotFound
from serve_app.settings import Settings
from serve_app.task import Task, TaskReport, TaskSnapshot, TaskStatus
from serve_app.tasks.active import ActiveTasks
from serve_app.tasks.capacity import Capacity
from serve_app.tasks.forecast import Forecast
from serve_app.tasks.journal import Journal
from serve_app.tasks.leadership import Leadership
from serve_app.tasks.leases import AttemptKey, Leases
from serve_app.tasks.overview import Overview, check_same_request
from serve_app.tasks.retries import FULL_DISK_PAUSES_S, Retries

logger = logging.getLogger("ray.serve")


class TaskManager:
    """Keeps every task and hands the pending ones out: higher priority first, then first come.

    Args:
        journal: the journal; what is unfinished in it is taken up again.
        settings: the bounds on silence, standstill, failures and waiting tasks.
        name: what tells this manager from others on the same journal; a successor has the same name.
        has_room: whether the disk has room for another task. Where it has none, tasks are refused, those that
            were accepted wait, and an attempt that is lost does not count as a failure.
        clock: seconds since the epoch, for the journal.
        steady_clock: seconds since any moment, for leases and pauses: one that nobody sets.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Settings,
        *,
        name: str,
        has_room: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ):
        self._journal = journal
        self._clock = clock
        self.leadership = Leadership(journal, name, settings.lease_s)
        self._active = ActiveTasks(journal, self.leadership)
        self._forecast = Forecast()
        self._capacity = Capacity(settings, self._active, self._forecast, has_room, clock)
        self._leases = Leases(settings.lease_s, settings.stall_timeout_s, steady_clock)
        self._retries = Retries(settings.max_failures, steady_clock)
        self.overview = Overview(journal, self._active, self._forecast, clock)
        self._handing_out = True
        self.refresh()

    def admit(self, owner: str | None, idempotency_key: str | None) -> None:
        """Refuse what `submit` would refuse, see `Capacity.check`, before a task's files are sent."""
        if not self.overview.knows(owner, idempotency_key):
            self._capacity.check(owner)

    def submit(self, task: Task) -> Task:
        """Accept a task; returns the one that came with the same id or idempotency key before, if any.

        Raises:
            IdempotencyKeyReused: the key came with another request before.
            QueueFull, StorageFull: see `Capacity.check`.
        """
        known = self.overview.known(task)
        if known is None:
            self._capacity.check(task.owner)
            # Where another manager was faster, there is a task to find now.
            known = self._active.add(task) or self.overview.known(task)
        assert known is not None
        check_same_request(known, task.fingerprint)
        return known

    def claim(self, ticket_id: str, engine: str) -> Task | None:
        """The next task of this engine, now processing, or None when there is nothing to do.

        A ticket that claimed before gets the same task again: Ray repeats a call whose answer was lost, and
        a replica repeats one where the journal's answer was lost.
        """
        if self._active.in_doubt:
            self.refresh()
        if held := self._active.held_by(ticket_id):
            return held
        for task in list(self._claimable(engine)):
            started = self._active.save(_as_started(task, ticket_id, self.leadership.name, self._clock()))
            if started is not None:
                self._leases.begin(_key(started))
                return started
        return None

    def report(self, report: TaskReport) -> bool:
        """Take note of an attempt's progress; False means that the attempt is no longer wanted."""
        task = self._active.attempt(report.task_id, report.attempt)
        if task is None:
            return False
        self._leases.renew(_key(task), report.counter)
        # Not journalled: after a restart the next report brings it again.
        self._active.note(_as_reported(task, report))
        return True

    def complete(self, report: TaskReport, video: str) -> bool:
        """Record the published video of an attempt; False means that the attempt is stale."""
        if self.report(report):
            task = self._active.attempt(report.task_id, report.attempt)
            assert task is not None
            if self._finish(_as_completed(task, video)) is not None:
                return True
        # The call may be a repetition: the answer to an earlier one, from here or from the journal, was lost.
        known = self._active.find(report.task_id)
        return known is not None and known.attempt == report.attempt and known.video == video

    def reject(self, task_id: str, attempt: int, error: Notice | str) -> None:
        """The input of the attempt cannot be used: the task fails, for good."""
        task = self._active.attempt(task_id, attempt)
        if task is not None:
            self._finish(_as_failed(task, _as_notice(error)))

    def lose(self, task_id: str, attempt: int, reason: Notice | str, *, disk_full: bool = False) -> None:
        """The machinery failed the attempt: the task waits for another, or fails after too many.

        An attempt that met a full disk does not count as a failure. The task waits for room if there is still
        none; else longer each time, until it fails, since its video may need more room than there ever is.
        """
        task = self._active.attempt(task_id, attempt)
        if task is None:
            return
        reason = _as_notice(reason)
        logger.warning("task %s: attempt %d lost (%s)", task_id, attempt, reason)
        if not self._capacity.has_room():
            self._requeue(task)
        elif disk_full:
            self._retry_with_more_room(task, reason)
        else:
            self._retry_after_failure(replace(task, failures=task.failures + 1), reason)

    def ticket_ended(self, ticket_id: str, reason: Notice) -> None:
        """A ticket is over; an attempt that it still holds is lost."""
        if held := self._active.held_by(ticket_id):
            self.lose(held.id, held.attempt, reason)

    def expire(self) -> None:
        """Give up the attempts that are silent or make no progress. To be called every second."""
        for key, reason in self._leases.check(map(_key, self._active.processing())).items():
            self.lose(key.task_id, key.attempt, reason)

    def cancel(self, task_id: str, owner: str | None) -> TaskSnapshot:
        """End a task that is not finished; whoever works on it is told at the next report.

        Cancelling a cancelled task changes nothing.

        Raises:
            TaskNotFound: see `Overview.task`.
            TaskFinished: it was completed, or failed for another reason.
        """
        task = self.overview.task(task_id, owner)
        if task.status.final:
            if not task.cancelled:
                raise TaskFinished(f"task {task_id} is {task.status.value} already", field="task_id")
            return self.overview.look(task)
        ended = self._finish(_as_failed(replace(task, cancelled=True), Notice.of("cancelled")))
        # Where another manager was faster, there is another state to look at.
        return self.cancel(task_id, owner) if ended is None else self.overview.look(ended)

    def remove(self, task_id: str, owner: str | None) -> None:
        """Forget a finished task; one that is not finished, not there or another's is left as it is."""
        with contextlib.suppress(TaskNotFound):
            self._journal.delete(self.overview.task(task_id, owner).id)

    def refresh(self) -> None:
        """Stay alive for other managers on the journal, and take note of what they did."""
        for task in self._active.refresh(self._clock()):
            # It was handed out by a cluster that is gone, for which the task can't be blamed. While a full
            # disk keeps it there, the others are watched over all the same.
            with contextlib.suppress(StorageFull):
                self._requeue(task)
        # A replica may still work for our predecessor: from now on it has one lease to report.
        self._leases.keep(map(_key, self._active.processing()))

    def hand_out(self, allowed: bool) -> None:
        """Allow or stop handing out work; stopping puts back, uncounted, what is processing."""
        self._handing_out = allowed
        if not allowed:
            for task in self._active.processing():
                self._requeue(task)

    def waiting(self, engine: str) -> int:
        """How many tasks of this engine could start now."""
        return sum(1 for _ in self._claimable(engine))

    def _claimable(self, engine: str) -> Iterator[Task]:
        if self._handing_out and self.leadership.leading and self._capacity.has_room():
            yield from (task for task in self._active.pending(engine) if self._retries.may_start(task.id))

    def _retry_after_failure(self, task: Task, reason: Notice) -> None:
        if self._retries.allows_failures(task.failures):
            self._requeue(task)
            self._retries.pause_after_failure(task.id, task.failures)
        else:
            self._finish(_as_failed(task, Notice.of("gave_up", failures=task.failures, reason=reason)))

    def _retry_with_more_room(self, task: Task, reason: Notice) -> None:
        if self._retries.allows_full_disk(task.id):
            self._requeue(task)
            self._retries.pause_after_full_disk(task.id)
        else:
            times = len(FULL_DISK_PAUSES_S) + 1
            self._finish(_as_failed(task, Notice.of("disk_stayed_full", count=times, reason=reason)))

    def _requeue(self, task: Task) -> None:
        self._active.save(_as_pending(task))

    def _finish(self, task: Task) -> Task | None:
        finished = self._active.save(_as_finished(task, self._clock()))
        if finished is not None:
            self._retries.forget(task.id)
            self._forecast.learn(finished)
        return finished


def _key(task: Task) -> AttemptKey:
    return AttemptKey(task.id, task.attempt)


def _as_started(task: Task, ticket_id: str, holder: str, now: float) -> Task:
    return replace(
        task,
        status=TaskStatus.PROCESSING,
        progress=replace(task.progress, stage=Stage.PREPARING),
        attempt=task.attempt + 1,
        ticket_id=ticket_id,
        holder=holder,
        started_at=now,
    )


def _as_reported(task: Task, report: TaskReport) -> Task:
    return replace(task, progress=report.progress, device=report.device)


def _as_pending(task: Task) -> Task:
    return replace(
        task,
        status=TaskStatus.PENDING,
        progress=replace(task.progress, stage=Stage.QUEUED, fraction=0.0, frames_generated=0),
        ticket_id=None,
        holder=None,
        started_at=None,
    )


def _as_completed(task: Task, video: str) -> Task:
    progress = replace(task.progress, fraction=1.0)
    return replace(task, status=TaskStatus.COMPLETED, progress=progress, video=video)


def _as_failed(task: Task, error: Notice) -> Task:
    return replace(task, status=TaskStatus.FAILED, error=error)


def _as_finished(task: Task, now: float) -> Task:
    progress = replace(task.progress, stage=None)
    webhook_at = now if task.webhook_url else None
    return replace(task, progress=progress, finished_at=now, webhook_at=webhook_at)


def _as_notice(told: Notice | str) -> Notice:
    # Replicas of a release that had no notices send a sentence.
    return told if isinstance(told, Notice) else Notice.of("text", text=told)
