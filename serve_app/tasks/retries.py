"""When a task whose attempt was lost may start again, and when it is given up."""

from collections import Counter
from collections.abc import Callable

# An attempt frees its own part of the disk when it ends, and one that started at once would fill it again.
# Nearly four hours in all, for an operator to make room.
FULL_DISK_PAUSES_S = (30, 120, 600, 1800, 3600, 7200)


class Retries:
    """The pauses between the attempts at a task.

    Args:
        max_failures: number of failures of the machinery after which a task is given up.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, max_failures: int, clock: Callable[[], float]):
        self._max_failures = max_failures
        self._clock = clock
        self._not_before: dict[str, float] = {}
        self._full_disks: Counter[str] = Counter()

    def may_start(self, task_id: str) -> bool:
        """Whether the pause of a task is over; true for one that has none."""
        return self._not_before.get(task_id, float("-inf")) <= self._clock()

    def allows_failures(self, failures: int) -> bool:
        """Whether a task may be tried again after this number of failures of the machinery."""
        return failures < self._max_failures

    def pause_after_failure(self, task_id: str, failures: int) -> None:
        """Let a task wait after its latest failure: 1 s after the first, doubling with each further one."""
        self._not_before[task_id] = self._clock() + 2.0 ** (failures - 1)

    def allows_full_disk(self, task_id: str) -> bool:
        """Whether a task may be tried once more after a full disk."""
        return self._full_disks[task_id] < len(FULL_DISK_PAUSES_S)

    def pause_after_full_disk(self, task_id: str) -> None:
        """Let a task wait for the operator to make room, longer after each full disk."""
        self._not_before[task_id] = self._clock() + FULL_DISK_PAUSES_S[self._full_disks[task_id]]
        self._full_disks[task_id] += 1

    def forget(self, task_id: str) -> None:
        """Forget the pauses of a finished task."""
        self._not_before.pop(task_id, None)
        del self._full_disks[task_id]
