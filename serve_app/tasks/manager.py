"""The life cycle of tasks: submission, claims, reports, completion or failure. Knows nothing of Ray.

A task is pending until a replica claims it. While the replica works it reports, and the answer tells it
whether the attempt is still wanted. An attempt that stops reporting or makes no progress is given up, and
the task waits for another, up to `max_failures` times. Every change is in the journal before the call
returns, so that a successor continues where this manager stopped.

Several managers may share a journal. The one that leads hands out work; the others only watch over what
they handed out before. No manager overwrites a change that another one made.

Methods that take an `owner` act only on that owner's tasks, or on all tasks if it is None.
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
        journal: the journal; its unfinished tasks are resumed.
        settings: the limits on time without a report or progress, on failures and on waiting tasks.
        name: distinguishes this manager from others on the same journal; a successor has the same name.
        has_room: whether the disk has room for another task; if not, see `Capacity.check` and `lose`.
        clock: seconds since the epoch, for the journal.
        steady_clock: a monotonic clock, in seconds, for leases and pauses.
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
        """Accept a task; returns it, or the one submitted before with the same id or idempotency key.

        Raises:
            IdempotencyKeyReused: the key was used for a different request.
            QueueFull, StorageFull: see `Capacity.check`.
        """
        known = self.overview.known(task)
        if known is None:
            self._capacity.check(task.owner)
            # If another manager was faster, its task can be found now.
            known = self._active.add(task) or self.overview.known(task)
        assert known is not None
        check_same_request(known, task.fingerprint)
        return known

    def claim(self, ticket_id: str, engine: str) -> Task | None:
        """The next task of this engine, now processing, or None when there is nothing to do.

        A ticket that claimed before gets the same task again: Ray repeats a call whose answer was lost, and
        a replica repeats one that failed because the journal's answer was lost.
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
        """Record an attempt's progress; False means that the attempt is no longer wanted."""
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
        # This may be a repeated call: our answer to the first one, or the journal's, was lost.
        known = self._active.find(report.task_id)
        return known is not None and known.attempt == report.attempt and known.video == video

    def reject(self, task_id: str, attempt: int, error: Notice | str) -> None:
        """Fail a task whose input cannot be used; it is not tried again."""
        task = self._active.attempt(task_id, attempt)
        if task is not None:
            self._finish(_as_failed(task, _as_notice(error)))

    def lose(self, task_id: str, attempt: int, reason: Notice | str, *, disk_full: bool = False) -> None:
        """End an attempt that failed, but not because of its input: the task is retried, or finally fails.

        An attempt that found the disk full does not count as a failure. The task waits for room if there is
        still none. Otherwise it pauses, longer each time, and finally fails, since its video may need more
        room than the disk ever has.
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
        """A ticket has ended; an attempt that it still holds is lost."""
        if held := self._active.held_by(ticket_id):
            self.lose(held.id, held.attempt, reason)

    def expire(self) -> None:
        """Give up the attempts that stopped reporting or make no progress; to be called every second."""
        for key, reason in self._leases.check(map(_key, self._active.processing())).items():
            self.lose(key.task_id, key.attempt, reason)

    def cancel(self, task_id: str, owner: str | None) -> TaskSnapshot:
        """Cancel an unfinished task; its replica learns of it from the answer to the next report.

        Cancelling a cancelled task changes nothing.

        Raises:
            TaskNotFound: see `Overview.task`.
            TaskFinished: it was completed, or failed for another reason.
        """
        task = self.overview.task(task_id, owner)
        if task.status.final:
            if not task.cancelled:
                raise TaskFinished(f"task {task_id} is already {task.status.value}", field="task_id")
            return self.overview.look(task)
        ended = self._finish(_as_failed(replace(task, cancelled=True), Notice.of("cancelled")))
        # If another manager was faster, the task's state has changed: look again.
        return self.cancel(task_id, owner) if ended is None else self.overview.look(ended)

    def remove(self, task_id: str, owner: str | None) -> None:
        """Delete a finished task; one that is unfinished, missing or another owner's is left alone."""
        with contextlib.suppress(TaskNotFound):
            self._journal.delete(self.overview.task(task_id, owner).id)

    def refresh(self) -> None:
        """Show the other managers on the journal that this one is alive, and read what they have changed."""
        for task in self._active.refresh(self._clock()):
            # A cluster that is gone handed it out, which is not the task's fault. If a full disk prevents
            # this, the other tasks are watched over all the same.
            with contextlib.suppress(StorageFull):
                self._requeue(task)
        # A replica may still be working for our predecessor: it has one lease, from now, in which to report.
        self._leases.keep(map(_key, self._active.processing()))

    def hand_out(self, allowed: bool) -> None:
        """Allow or stop handing out work; stopping returns running tasks to the queue without a failure."""
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


def _as_notice(reason: Notice | str) -> Notice:
    # Replicas of a release that had no notices send a sentence.
    return reason if isinstance(reason, Notice) else Notice.of("text", text=reason)
