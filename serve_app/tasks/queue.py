"""The pending tasks of one engine. Knows their order, nothing of what happens to them."""

from bisect import bisect_left
from collections.abc import Iterator

from serve_app.task import Task


class TaskQueue:
    """Ids of tasks in the order in which they start: higher priority first, then first come.

    Clients that poll ask for their place in the queue, so finding it must not take a walk through the queue.
    """

    def __init__(self) -> None:
        self._keys: list[tuple[int, int, str]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return (task_id for _, _, task_id in self._keys)

    def add(self, task: Task) -> None:
        """Put a task in its place, unless it is there already."""
        index, found = self._locate(task)
        if not found:
            self._keys.insert(index, _key(task))

    def discard(self, task: Task) -> None:
        """Take a task out, if it is there."""
        index, found = self._locate(task)
        if found:
            del self._keys[index]

    def position(self, task: Task) -> int | None:
        """The place of a task: 1 for the one that starts next; None if it is not in the queue."""
        index, found = self._locate(task)
        return index + 1 if found else None

    def _locate(self, task: Task) -> tuple[int, bool]:
        index = bisect_left(self._keys, _key(task))
        return index, index < len(self._keys) and self._keys[index] == _key(task)


def _key(task: Task) -> tuple[int, int, str]:
    return -task.priority, task.sequence or 0, task.id
