"""How many tasks may wait, and whether the disk has room for another."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from serve_app.errors import QueueFull, StorageFull
from serve_app.settings import Settings
from serve_app.task import TaskStatus
from serve_app.tasks.active import ActiveTasks
from serve_app.tasks.forecast import Forecast

# `Retry-After` of a full queue while nothing is known about how long tasks take.
_UNKNOWN_WAIT_S = 30.0


@dataclass(frozen=True)
class Capacity:
    """Refuses tasks while too many wait or the disk is full.

    Args:
        settings: `max_pending`, for all owners together, and `max_pending_per_key`; tasks without an owner
            count only towards the former.
        active: the unfinished tasks.
        forecast: estimates when the next of them ends.
        has_room: whether the disk has room for another task.
        clock: seconds since the epoch.
    """

    settings: Settings
    active: ActiveTasks
    forecast: Forecast
    has_room: Callable[[], bool]
    clock: Callable[[], float]

    def check(self, owner: str | None) -> None:
        """Refuse another task of this owner, who is None while API keys are off.

        Raises:
            QueueFull: the maximum number of tasks is pending, in total or for this owner.
            StorageFull: the disk has no room for another task.
        """
        pending = self.active.counts()[TaskStatus.PENDING]
        if pending >= self.settings.max_pending:
            raise QueueFull(f"{pending} tasks are pending", self._retry_after_s())
        theirs = 0 if owner is None else self.active.pending_of(owner)
        if theirs >= self.settings.max_pending_per_key:
            raise QueueFull(f"{theirs} tasks of this API key are pending", self._retry_after_s())
        if not self.has_room():
            raise StorageFull

    def _retry_after_s(self) -> int:
        wait = self.forecast.next_end(self.active.processing(), self.clock())
        return math.ceil(max(1.0, _UNKNOWN_WAIT_S if wait is None else wait))
