"""The life cycle of tasks: claims, leases, reports, attempts. Knows nothing of Ray.

A task is pending until a replica claims it. While the replica works it reports; the answer tells it
whether the attempt is still wanted. An attempt whose reports stop, or stop telling of progress, is
given up and the task waits for another, up to `max_failures` times. Every change is in the journal
before it is answered, so that a successor goes on where this one ended.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from serve_app.forecast import Forecast
from serve_app.task import Stage, Task, TaskReport, TaskSnapshot, TaskStatus
from serve_app.task_store import TaskStore

logger = logging.getLogger("ray.serve")


@dataclass
class _Watch:
    """When an attempt last reported, and when its counter last rose."""

    reported_at: float
    progressed_at: float
    counter: int = -1


class TaskManager:
    """Keeps every task and hands the pending ones out, first come, first served.

    Args:
        store: the journal; what is unfinished in it is taken up again.
        lease_s: seconds without a report after which an attempt is given up.
        stall_timeout_s: seconds without progress after which an attempt is given up.
        max_failures: attempts lost to the machinery after which a task fails.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: TaskStore,
        *,
        lease_s: float,
        stall_timeout_s: float,
        max_failures: int,
        clock: Callable[[], float] = time.time,
    ):
        self._store = store
        self._lease_s = lease_s
        self._stall_timeout_s = stall_timeout_s
        self._max_failures = max_failures
        self._clock = clock
        self._forecast = Forecast()
        self._unfinished = {task.id: task for task in store.unfinished()}
        # A replica may still work for our predecessor: it gets one lease to report.
        self._watches = {task.id: self._new_watch() for task in self._processing()}
        self._retry_at: dict[str, float] = {}
        self._handing_out = True

    def submit(self, task: Task) -> Task:
        """Accept a task; a second call with the same id changes nothing."""
        known = self._find(task.id)
        if known is not None:
            return known
        self._store.add(task)
        self._unfinished[task.id] = task
        return task

    def snapshot(self, task_id: str) -> TaskSnapshot | None:
        """The task as it stands, or None if there is no such task."""
        task = self._find(task_id)
        if task is None:
            return None
        pending = [other.id for other in self._pending(task.engine)]
        position = pending.index(task_id) + 1 if task_id in pending else None
        eta = self._forecast.eta(task, position, self._processing(), self._clock())
        return TaskSnapshot(task, position, eta)

    def claim(self, ticket_id: str, engine: str) -> Task | None:
        """The next task of this engine, now processing, or None when there is nothing to do.

        A ticket that claimed before gets the same task again: Ray repeats a call whose answer got lost.
        """
        for task in self._processing():
            if task.ticket_id == ticket_id:
                return task
        best = next(self._claimable(engine), None)
        return None if best is None else self._start(best, ticket_id)

    def report(self, report: TaskReport) -> bool:
        """Take note of an attempt's progress; False means that nobody wants it any more."""
        task = self._current(report.task_id, report.attempt)
        if task is None:
            return False
        now, watch = self._clock(), self._watches[task.id]
        watch.reported_at = now
        if report.counter > watch.counter:
            watch.counter, watch.progressed_at = report.counter, now
        # Not journalled: after a restart the next report brings it again.
        self._unfinished[task.id] = replace(
            task,
            stage=report.stage,
            progress=report.progress,
            device=report.device,
            frames_requested=report.frames_requested,
            frames_generated=report.frames_generated,
            audio_seconds=report.audio_seconds,
            warnings=report.warnings,
        )
        return True

    def complete(self, report: TaskReport, video: str) -> bool:
        """Record the published video of an attempt; False means that the attempt is stale."""
        if not self.report(report):
            known = self._find(report.task_id)
            # A repeated call whose first answer got lost.
            return known is not None and known.attempt == report.attempt and known.video == video
        task = self._unfinished[report.task_id]
        self._finish(replace(task, status=TaskStatus.COMPLETED, progress=1.0, video=video))
        return True

    def reject(self, task_id: str, attempt: int, error: str) -> None:
        """The input of the attempt cannot be used: the task fails, for good."""
        task = self._current(task_id, attempt)
        if task is not None:
            self._finish(replace(task, status=TaskStatus.FAILED, error=error))

    def lose(self, task_id: str, attempt: int, reason: str) -> None:
        """The machinery failed the attempt: the task waits for another, or fails after too many."""
        task = self._current(task_id, attempt)
        if task is None:
            return
        failures = task.failures + 1
        logger.warning("task %s: attempt %d lost (%s)", task_id, attempt, reason)
        if failures >= self._max_failures:
            error = f"the service failed {failures} times while making this video; the last time: {reason}"
            self._finish(replace(task, status=TaskStatus.FAILED, error=error, failures=failures))
        else:
            self._requeue(replace(task, failures=failures))
            self._retry_at[task_id] = self._clock() + 2.0 ** (failures - 1)

    def ticket_ended(self, ticket_id: str, reason: str) -> None:
        """A ticket is over; an attempt that it still holds is lost."""
        for task in self._processing():
            if task.ticket_id == ticket_id:
                self.lose(task.id, task.attempt, reason)

    def expire(self) -> None:
        """Give up the attempts whose lease ran out or that stand still."""
        now = self._clock()
        for task in self._processing():
            watch = self._watches[task.id]
            if now - watch.reported_at > self._lease_s:
                self.lose(task.id, task.attempt, f"no report for {self._lease_s:g} s")
            elif now - watch.progressed_at > self._stall_timeout_s:
                self.lose(task.id, task.attempt, f"no progress for {self._stall_timeout_s:g} s")

    def hand_out(self, allowed: bool) -> None:
        """Allow or stop handing out work; stopping gives back, uncounted, what is processing."""
        self._handing_out = allowed
        if not allowed:
            for task in self._processing():
                self._requeue(task)

    def waiting(self, engine: str) -> int:
        """How many tasks of this engine could start now."""
        return sum(1 for _ in self._claimable(engine))

    def counts(self) -> dict[TaskStatus, int]:
        """How many tasks are pending and how many processing."""
        processing = len(self._watches)
        return {
            TaskStatus.PENDING: len(self._unfinished) - processing,
            TaskStatus.PROCESSING: processing,
        }

    def _find(self, task_id: str) -> Task | None:
        return self._unfinished.get(task_id) or self._store.get(task_id)

    def _current(self, task_id: str, attempt: int) -> Task | None:
        """The task if this attempt is the one that counts."""
        task = self._unfinished.get(task_id)
        if task is None or task.status is not TaskStatus.PROCESSING or task.attempt != attempt:
            return None
        return task

    def _processing(self) -> list[Task]:
        return [task for task in self._unfinished.values() if task.status is TaskStatus.PROCESSING]

    def _pending(self, engine: str) -> Iterator[Task]:
        # A dict keeps the order of submission, also when a task is replaced.
        for task in self._unfinished.values():
            if task.status is TaskStatus.PENDING and task.engine == engine:
                yield task

    def _claimable(self, engine: str) -> Iterator[Task]:
        now = self._clock()
        if self._handing_out:
            yield from (t for t in self._pending(engine) if self._retry_at.get(t.id, 0) <= now)

    def _start(self, task: Task, ticket_id: str) -> Task:
        self._retry_at.pop(task.id, None)
        task = replace(
            task,
            status=TaskStatus.PROCESSING,
            stage=Stage.PREPARING,
            attempt=task.attempt + 1,
            ticket_id=ticket_id,
            started_at=self._clock(),
        )
        self._save(task)
        self._watches[task.id] = self._new_watch()
        return task

    def _requeue(self, task: Task) -> None:
        self._save(
            replace(
                task,
                status=TaskStatus.PENDING,
                stage=Stage.QUEUED,
                progress=0.0,
                frames_generated=0,
                ticket_id=None,
                started_at=None,
            )
        )
        del self._watches[task.id]

    def _finish(self, task: Task) -> None:
        task = replace(task, stage=None, finished_at=self._clock())
        self._store.save(task)
        del self._unfinished[task.id], self._watches[task.id]
        self._forecast.learn(task)

    def _save(self, task: Task) -> None:
        self._store.save(task)
        self._unfinished[task.id] = task

    def _new_watch(self) -> _Watch:
        now = self._clock()
        return _Watch(reported_at=now, progressed_at=now)
