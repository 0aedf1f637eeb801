"""Removes what has expired: old tasks, uploads that are no longer needed, files without a task."""

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from serve_app.storage.base import Storage
from serve_app.task import Task
from serve_app.tasks.journal import Journal

# Files that no row names may belong to a request that is being received. They are written within
# seconds, and the task manager is waited for no longer than half a minute.
SETTLING_S = 600.0

_BATCH = 200

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class Sweeper:
    """Sweeps a storage by what the journal says; tasks that are not finished are left alone.

    Args:
        journal: the journal.
        storage: where uploads and videos lie.
        keep_tasks_s: seconds that a finished task is kept, with its video.
        keep_uploads_s: seconds that the uploads of a finished task are kept.
        clock: seconds since the epoch.
    """

    journal: Journal
    storage: Storage
    keep_tasks_s: float
    keep_uploads_s: float
    clock: Callable[[], float] = time.time

    def sweep(self) -> None:
        """Remove what has expired. Blocks for as long as the files take.

        A file that cannot be removed now keeps no other from being removed. Files go first, and those of a
        task before its row: a full disk has no room to write down that a row is gone.
        """
        try:
            self._sweep_files()
        finally:
            self._forget_old_tasks()

    def _sweep_files(self) -> None:
        for task_ids in _batches(self.storage.task_ids()):
            tasks = self.journal.known(task_ids)
            for task_id in task_ids:
                try:
                    self._sweep_files_of(task_id, tasks.get(task_id))
                except OSError as error:
                    logger.warning("files of task %s cannot be removed now: %s", task_id, error)

    def _forget_old_tasks(self) -> None:
        while old := self.journal.finished_before(self.clock() - self.keep_tasks_s, _BATCH):
            for task in old:
                self.storage.remove(task.id)
            for task in old:
                self.journal.delete(task.id)

    def _sweep_files_of(self, task_id: str, task: Task | None) -> None:
        now = self.clock()
        if task is None:
            if self.storage.changed_at(task_id) < now - SETTLING_S:
                self.storage.remove(task_id)
        elif task.finished_at is not None:
            self.storage.remove_other_videos(task_id, task.video)
            if task.finished_at < now - self.keep_uploads_s:
                self.storage.remove_uploads(task_id)


def _batches(task_ids: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(task_ids)
    while batch := list(itertools.islice(remaining, _BATCH)):
        yield batch
