"""How long tasks take, learnt from those that finished."""

from collections.abc import Sequence

from serve_app.task import Task, TaskStatus

# Before this share of the work is done, elapsed time says little about the rest.
_TELLING_PROGRESS = 0.05

# Weight of the newest task in the running mean.
_SMOOTHING = 0.3


class Forecast:
    """A running mean of how long a task of each engine takes, and what follows from it."""

    def __init__(self) -> None:
        self._mean_seconds: dict[str, float] = {}

    def learn(self, task: Task) -> None:
        """Take a finished task into account, if it was completed."""
        if task.status is TaskStatus.COMPLETED and task.started_at and task.finished_at:
            seconds = task.finished_at - task.started_at
            mean = self._mean_seconds.get(task.engine, seconds)
            self._mean_seconds[task.engine] = mean + _SMOOTHING * (seconds - mean)

    def eta(self, task: Task, position: int | None, processing: Sequence[Task], now: float) -> float | None:
        """Seconds until this task's video is ready; None if it is finished or nothing is known yet.

        Args:
            task: the task in question.
            position: its place among the pending ones, from 1; None if it is not pending.
            processing: every task that is being worked on.
            now: seconds since the epoch.
        """
        if task.status is TaskStatus.PROCESSING:
            return self._remaining(task, now)
        mean = self._mean_seconds.get(task.engine)
        if position is None or mean is None:
            return None
        running = [other for other in processing if other.engine == task.engine]
        ahead = sum(self._remaining(other, now) or 0.0 for other in running) + mean * (position - 1)
        return ahead / max(1, len(running)) + mean

    def next_end(self, processing: Sequence[Task], now: float) -> float | None:
        """Seconds until the first of these tasks is done and another starts; None while nothing is known."""
        known = [seconds for task in processing if (seconds := self._remaining(task, now)) is not None]
        return min(known, default=None)

    def _remaining(self, task: Task, now: float) -> float | None:
        elapsed = now - (task.started_at or now)
        done = task.progress.fraction
        if done >= _TELLING_PROGRESS:
            return elapsed * (1 - done) / done
        mean = self._mean_seconds.get(task.engine)
        return None if mean is None else max(0.0, mean - elapsed)
