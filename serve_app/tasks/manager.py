"""The life cycle of tasks: claims, leases, reports, attempts. Knows nothing of Ray.

A task is pending until a replica claims it. While the replica works it reports; the answer tells it
whether the attempt is still wanted. An attempt whose reports stop, or stop telling of progress, is
given up and the task waits for another, up to `max_failures` times. Every change is in the journal
before it is answered, so that a successor goes on where this one ended.

Several managers may share a journal. The one that leads hands out work; every other only watches over
what it handed out before. No change is written over one that another manager made.

Methods that take an `owner` see only the tasks of this owner, and all tasks for None; they raise
TaskNotFound for any other.
"""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from models.notices import Notice
from models.progress import Stage
from serve_app.errors import (
    IdempotencyKeyReused,
    QueueFull,
    StorageFull,
    TaskFinished,
    TaskNotFound,
)
from serve_app.task import Task, TaskPage, TaskReport, TaskSnapshot, TaskStatus
from serve_app.tasks.active import ActiveTasks
from serve_app.tasks.forecast import Forecast
from serve_app.tasks.journal import Journal
from serve_app.tasks.leadership import Leadership

# Of the time since leases were last looked at, this share of a lease counts as watched.
_WATCHED_LEASES = 1 / 3

# Told to clients of a full queue while nothing is known of how long tasks take.
_UNKNOWN_WAIT_S = 30.0

# An attempt gives its own part of the disk back when it ends: at once the next would run into the same. Four
# hours in all, for an operator who makes room.
_FULL_DISK_PAUSES_S = (30, 120, 600, 1800, 3600, 7200)

logger = logging.getLogger("ray.serve")


@dataclass
class _Watch:
    """When an attempt last reported, and when its counter last rose, by the steady clock."""

    reported_at: float
    progressed_at: float
    counter: int = -1

    def overlook(self, seconds: float, now: float) -> None:
        """Take no account of so many seconds, which ended just now."""
        self.reported_at = min(now, self.reported_at + seconds)
        self.progressed_at = min(now, self.progressed_at + seconds)


class TaskManager:
    """Keeps every task and hands the pending ones out: higher priority first, then first come.

    Args:
        journal: the journal; what is unfinished in it is taken up again.
        name: what tells this manager from others on the same journal; a successor has the same name.
        lease_s: seconds without a report after which an attempt is given up.
        stall_timeout_s: seconds without progress after which an attempt is given up.
        max_failures: attempts lost to the machinery after which a task fails.
        max_pending: most tasks that wait; more are refused.
        max_pending_per_owner: most tasks of one owner that wait; those without an owner are not counted.
        has_room: whether the disk has room for another task. Without, tasks are refused and the
            accepted ones wait; an attempt that is lost meanwhile is no failure.
        clock: seconds since the epoch, for the journal.
        steady_clock: seconds since any moment, for leases and pauses: one that nobody sets.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        name: str,
        lease_s: float,
        stall_timeout_s: float,
        max_failures: int,
        max_pending: int,
        max_pending_per_owner: int,
        has_room: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ):
        self._journal = journal
        self._leadership = Leadership(journal, name, lease_s)
        self._active = ActiveTasks(journal, self._leadership)
        self._lease_s = lease_s
        self._stall_timeout_s = stall_timeout_s
        self._max_failures = max_failures
        self._max_pending = max_pending
        self._max_pending_per_owner = max_pending_per_owner
        self._has_room = has_room
        self._clock = clock
        self._steady_clock = steady_clock
        self._forecast = Forecast()
        self._watches: dict[tuple[str, int], _Watch] = {}
        self._retry_at: dict[str, float] = {}
        self._found_full: dict[str, int] = {}
        self._handing_out = True
        self._looked_at = steady_clock()
        self.refresh()

    def admit(self, owner: str | None, idempotency_key: str | None) -> None:
        """Refuse what `submit` would refuse, before the files of a task have been sent.

        Raises:
            QueueFull: as many tasks wait as may, in all or of this owner.
            StorageFull: the disk has no room for another task.
        """
        if self._submitted_before(owner, idempotency_key) is None:
            self._check_capacity(owner)

    def knows(self, owner: str | None, idempotency_key: str) -> bool:
        """Whether this owner submitted a task with this key."""
        return self._submitted_before(owner, idempotency_key) is not None

    def repeated(self, owner: str | None, idempotency_key: str, fingerprint: str) -> Task | None:
        """The task that this owner submitted with this key, if there is one.

        Raises:
            IdempotencyKeyReused: it was another request.
        """
        known = self._submitted_before(owner, idempotency_key)
        if known is not None:
            _check_same(known, fingerprint)
        return known

    def submit(self, task: Task) -> Task:
        """Accept a task; returns the one that came with the same id or idempotency key before, if any.

        Raises:
            IdempotencyKeyReused: the key came with another request before.
            QueueFull: as many tasks wait as may, in all or of this owner.
            StorageFull: the disk has no room for another task.
        """
        known = self._known(task)
        if known is None:
            self._check_capacity(task.owner)
            # Where another manager was faster, there is a task to find now.
            known = self._active.add(task) or self._known(task)
        assert known is not None
        _check_same(known, task.fingerprint)
        return known

    def snapshot(self, task_id: str, owner: str | None) -> TaskSnapshot:
        """The task as it stands."""
        return self._look(self._visible(task_id, owner))

    def page(self, owner: str | None, status: TaskStatus | None, cursor: int | None, limit: int) -> TaskPage:
        """Tasks as they stand, newest first.

        Args:
            owner: whose tasks; None for everybody's.
            status: only those with this status; None for all.
            cursor: where another page ended; None begins with the newest.
            limit: at most so many.
        """
        found = self._journal.newest(owner=owner, status=status, before=cursor, limit=limit + 1)
        snapshots = tuple(self._look(self._active.current(task)) for task in found[:limit])
        return TaskPage(snapshots, found[limit - 1].sequence if len(found) > limit else None)

    def cancel(self, task_id: str, owner: str | None) -> TaskSnapshot:
        """End a task that is not finished; whoever works on it is told at the next report.

        To cancel a cancelled task changes nothing.

        Raises:
            TaskFinished: it was completed, or failed for another reason.
        """
        task = self._visible(task_id, owner)
        if task.status.final:
            if not task.cancelled:
                raise TaskFinished(f"task {task_id} is {task.status.value} already", field="task_id")
            return self._look(task)
        ended = self._finish(
            replace(task, status=TaskStatus.FAILED, error=Notice.of("cancelled"), cancelled=True)
        )
        # Where another manager was faster, there is another state to look at.
        return self.cancel(task_id, owner) if ended is None else self._look(ended)

    def remove(self, task_id: str, owner: str | None) -> None:
        """Forget a finished task; one that is not finished, not there or another's is left as it is."""
        task = self._active.find(task_id)
        if task is not None and owner in (None, task.owner):
            self._journal.delete(task_id)

    def claim(self, ticket_id: str, engine: str) -> Task | None:
        """The next task of this engine, now processing, or None when there is nothing to do.

        A ticket that claimed before gets the same task again: Ray repeats a call whose answer got lost, and
        a replica one to which the journal's got lost.
        """
        if self._active.in_doubt:
            self.refresh()
        for task in self._active.processing():
            if task.ticket_id == ticket_id:
                return task
        for task in list(self._claimable(engine)):
            started = self._start(task, ticket_id)
            if started is not None:
                return started
        return None

    def report(self, report: TaskReport) -> bool:
        """Take note of an attempt's progress; False means that nobody wants it any more."""
        task = self._active.attempt(report.task_id, report.attempt)
        if task is None:
            return False
        now, watch = self._steady_clock(), self._watch(task)
        watch.reported_at = now
        if report.counter > watch.counter:
            watch.counter, watch.progressed_at = report.counter, now
        # Not journalled: after a restart the next report brings it again.
        self._active.note(_as_reported(task, report))
        return True

    def complete(self, report: TaskReport, video: str) -> bool:
        """Record the published video of an attempt; False means that the attempt is stale."""
        if self.report(report):
            task = self._active.attempt(report.task_id, report.attempt)
            assert task is not None
            progress = replace(task.progress, fraction=1.0)
            done = replace(task, status=TaskStatus.COMPLETED, progress=progress, video=video)
            if self._finish(done) is not None:
                return True
        # A repeated call whose first answer got lost, or to whose first one the journal's answer got lost.
        known = self._active.find(report.task_id)
        return known is not None and known.attempt == report.attempt and known.video == video

    def reject(self, task_id: str, attempt: int, error: Notice | str) -> None:
        """The input of the attempt cannot be used: the task fails, for good.

        Args:
            task_id: the task.
            attempt: which attempt.
            error: why; a sentence comes from a replica of a release that had no notices.
        """
        task = self._active.attempt(task_id, attempt)
        if task is not None:
            self._finish(replace(task, status=TaskStatus.FAILED, error=_as_notice(error)))

    def lose(self, task_id: str, attempt: int, reason: Notice | str, *, disk_full: bool = False) -> None:
        """The machinery failed the attempt: the task waits for another, or fails after too many.

        Where a disk is full the attempt does not count, and the task waits: for room where there is none;
        else longer and longer, and not for ever, since the video may need more than there ever is.
        """
        task = self._active.attempt(task_id, attempt)
        if task is None:
            return
        reason, failures = _as_notice(reason), task.failures + 1
        logger.warning("task %s: attempt %d lost (%s)", task_id, attempt, reason)
        if not self._has_room():
            self._requeue(task)
        elif disk_full:
            self._wait_for_more_room(task, reason)
        elif failures >= self._max_failures:
            error = Notice.of("gave_up", failures=failures, reason=reason)
            self._finish(replace(task, status=TaskStatus.FAILED, error=error, failures=failures))
        else:
            self._retry_at[task_id] = self._steady_clock() + 2.0 ** (failures - 1)
            self._requeue(replace(task, failures=failures))

    def ticket_ended(self, ticket_id: str, reason: Notice) -> None:
        """A ticket is over; an attempt that it still holds is lost."""
        for task in self._active.processing():
            if task.ticket_id == ticket_id:
                self.lose(task.id, task.attempt, reason)

    def refresh(self) -> None:
        """Stay alive for other managers on the journal, and take note of what they did."""
        for task in self._active.refresh(self._clock()):
            # It was handed out by a cluster that is gone, for which the task can't be blamed. While a full
            # disk keeps it there, the others are watched over all the same.
            with contextlib.suppress(StorageFull):
                self._requeue(task)
        # A replica may still work for our predecessor: from now on it has one lease to report.
        self._watches = {_attempt(task): self._watch(task) for task in self._active.processing()}

    def expire(self) -> None:
        """Give up the attempts whose lease ran out or that stand still.

        To be called every second. If it was not, as by a machine that was asleep or a process that stood
        still, reports may be waiting to be heard: what nobody watched is no silence.
        """
        now = self._steady_clock()
        self._overlook(now - self._looked_at - self._lease_s * _WATCHED_LEASES, now)
        self._looked_at = now
        for task in self._active.processing():
            watch = self._watch(task)
            if now - watch.reported_at > self._lease_s:
                self.lose(task.id, task.attempt, Notice.of("no_report", seconds=self._lease_s))
            elif now - watch.progressed_at > self._stall_timeout_s:
                stalled = Notice.of("no_progress", seconds=self._stall_timeout_s)
                self.lose(task.id, task.attempt, stalled)

    def hand_out(self, allowed: bool) -> None:
        """Allow or stop handing out work; stopping gives back, uncounted, what is processing."""
        self._handing_out = allowed
        if not allowed:
            for task in self._active.processing():
                self._requeue(task)

    def waiting(self, engine: str) -> int:
        """How many tasks of this engine could start now."""
        return sum(1 for _ in self._claimable(engine))

    def counts(self) -> dict[TaskStatus, int]:
        """How many tasks are pending and how many processing."""
        return self._active.counts()

    def _check_capacity(self, owner: str | None) -> None:
        pending = self.counts()[TaskStatus.PENDING]
        if pending >= self._max_pending:
            raise QueueFull(f"{pending} tasks are pending", self._retry_after_s())
        theirs = 0 if owner is None else self._active.pending_of(owner)
        if theirs >= self._max_pending_per_owner:
            raise QueueFull(f"{theirs} tasks of this API key are pending", self._retry_after_s())
        if not self._has_room():
            raise StorageFull

    def _retry_after_s(self) -> int:
        wait = self._forecast.next_end(self._active.processing(), self._clock())
        return math.ceil(max(1.0, _UNKNOWN_WAIT_S if wait is None else wait))

    def _known(self, task: Task) -> Task | None:
        return self._active.find(task.id) or self._submitted_before(task.owner, task.idempotency_key)

    def _submitted_before(self, owner: str | None, idempotency_key: str | None) -> Task | None:
        return None if idempotency_key is None else self._journal.with_key(owner, idempotency_key)

    def _visible(self, task_id: str, owner: str | None) -> Task:
        task = self._active.find(task_id)
        if task is None or owner not in (None, task.owner):
            raise TaskNotFound(task_id)
        return task

    def _look(self, task: Task) -> TaskSnapshot:
        position = self._active.position(task)
        eta = self._forecast.eta(task, position, self._active.processing(), self._clock())
        return TaskSnapshot(task, position, eta)

    def _claimable(self, engine: str) -> Iterator[Task]:
        if not (self._handing_out and self._leadership.leading and self._has_room()):
            return
        now = self._steady_clock()
        yield from (task for task in self._active.pending(engine) if self._retry_at.get(task.id, 0) <= now)

    def _watch(self, task: Task) -> _Watch:
        now = self._steady_clock()
        return self._watches.setdefault(_attempt(task), _Watch(now, now))

    def _overlook(self, seconds: float, now: float) -> None:
        if seconds > 0:
            for watch in self._watches.values():
                watch.overlook(seconds, now)

    def _start(self, task: Task, ticket_id: str) -> Task | None:
        self._retry_at.pop(task.id, None)
        started = self._active.save(
            replace(
                task,
                status=TaskStatus.PROCESSING,
                progress=replace(task.progress, stage=Stage.PREPARING),
                attempt=task.attempt + 1,
                ticket_id=ticket_id,
                holder=self._leadership.name,
                started_at=self._clock(),
            ),
        )
        if started is not None:
            self._watch(started)
        return started

    def _wait_for_more_room(self, task: Task, reason: Notice) -> None:
        found_full = self._found_full[task.id] = self._found_full.get(task.id, 0) + 1
        if found_full > len(_FULL_DISK_PAUSES_S):
            error = Notice.of("disk_stayed_full", count=found_full, reason=reason)
            self._finish(replace(task, status=TaskStatus.FAILED, error=error))
        else:
            self._retry_at[task.id] = self._steady_clock() + _FULL_DISK_PAUSES_S[found_full - 1]
            self._requeue(task)

    def _requeue(self, task: Task) -> None:
        self._active.save(
            replace(
                task,
                status=TaskStatus.PENDING,
                progress=replace(task.progress, stage=Stage.QUEUED, fraction=0.0, frames_generated=0),
                ticket_id=None,
                holder=None,
                started_at=None,
            ),
        )

    def _finish(self, task: Task) -> Task | None:
        now = self._clock()
        progress = replace(task.progress, stage=None)
        task = replace(task, progress=progress, finished_at=now, webhook_at=now if task.webhook_url else None)
        finished = self._active.save(task)
        if finished is not None:
            self._retry_at.pop(task.id, None)
            self._found_full.pop(task.id, None)
            self._forecast.learn(finished)
        return finished


def _attempt(task: Task) -> tuple[str, int]:
    return task.id, task.attempt


def _check_same(known: Task, fingerprint: str | None) -> None:
    if known.fingerprint != fingerprint:
        raise IdempotencyKeyReused(str(known.idempotency_key))


def _as_reported(task: Task, report: TaskReport) -> Task:
    return replace(task, progress=report.progress, device=report.device)


def _as_notice(told: Notice | str) -> Notice:
    return told if isinstance(told, Notice) else Notice.of("text", text=told)
