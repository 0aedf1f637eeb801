"""The unfinished tasks that belong to one manager, kept in line with the journal."""

from collections import defaultdict
from collections.abc import Callable, Iterator

from serve_app.errors import JournalUnavailable, StorageFull
from serve_app.task import Task, TaskStatus
from serve_app.tasks.journal import Journal
from serve_app.tasks.leadership import Leadership
from serve_app.tasks.queue import TaskQueue

# How often the journal is read where nothing tells that it holds what is not here: a manager that stood still
# may have written a task before it noticed that it does not lead any more, and died.
_READ_PERIOD_S = 30.0


class ActiveTasks:
    """What waits, if this manager leads, and what it handed out.

    A change is in the journal before it is here. One that another manager made in the meantime is never
    overwritten: from then on the task belongs to that manager.

    Args:
        journal: the journal.
        leadership: whether this manager leads, and who else lives.
    """

    def __init__(self, journal: Journal, leadership: Leadership):
        self._journal = journal
        self._leadership = leadership
        self._tasks: dict[str, Task] = {}
        self._queues: defaultdict[str, TaskQueue] = defaultdict(TaskQueue)
        self._processing: dict[str, None] = {}
        self._in_doubt = True
        self._read_at = float("-inf")

    @property
    def in_doubt(self) -> bool:
        """Whether the journal may hold what is not here."""
        return self._in_doubt

    def find(self, task_id: str) -> Task | None:
        """The task with this id, whichever manager it belongs to."""
        return self._tasks.get(task_id) or self._journal.get(task_id)

    def current(self, task: Task) -> Task:
        """A task that was read from the journal, with what is known beyond it."""
        return self._tasks.get(task.id, task)

    def attempt(self, task_id: str, attempt: int) -> Task | None:
        """The task if it is processing and this attempt is the one that counts."""
        task = self._tasks.get(task_id)
        if task is None or task.status is not TaskStatus.PROCESSING or task.attempt != attempt:
            return None
        return task

    def held_by(self, ticket_id: str) -> Task | None:
        """The task that this ticket claimed, if it is being worked on."""
        return next((task for task in self.processing() if task.ticket_id == ticket_id), None)

    def pending(self, engine: str) -> Iterator[Task]:
        """What waits for this engine, in the order in which it starts."""
        return (self._tasks[task_id] for task_id in self._queues[engine])

    def processing(self) -> list[Task]:
        """What is being worked on."""
        return [self._tasks[task_id] for task_id in self._processing]

    def position(self, task: Task) -> int | None:
        """1 for the pending task that starts next; None for what is not pending here."""
        return self._queues[task.engine].position(task)

    def counts(self) -> dict[TaskStatus, int]:
        """How many tasks are pending and how many processing, whichever manager they belong to."""
        if not self._leadership.alone:
            return self._journal.counts()
        processing = len(self._processing)
        return {
            TaskStatus.PENDING: len(self._tasks) - processing,
            TaskStatus.PROCESSING: processing,
        }

    def pending_of(self, owner: str) -> int:
        """How many tasks of this owner are pending, whichever manager they belong to."""
        if not self._leadership.alone:
            return self._journal.pending_of(owner)
        return sum(task.owner == owner and task.status is TaskStatus.PENDING for task in self._tasks.values())

    def add(self, task: Task) -> Task | None:
        """Journal a new task; None if its id or key is there already."""
        return self._write(self._journal.add, task)

    def save(self, task: Task) -> Task | None:
        """Journal a change; None if another manager was faster."""
        return self._write(self._journal.save, task)

    def note(self, task: Task) -> None:
        """Keep a change of a task in memory only."""
        self._tasks[task.id] = task

    def refresh(self, now: float) -> list[Task]:
        """Take note of what other managers did; returns what those that are dead left processing."""
        if self._leadership.renew(now) or not 0 <= now - self._read_at < _READ_PERIOD_S:
            self._in_doubt = True
        if not self._in_doubt:
            return []
        rows = self._journal.unfinished()
        for task_id in self._tasks.keys() - {row.id for row in rows}:
            self._forget(task_id)
        for row in rows:
            self._reconcile(row)
        self._in_doubt, self._read_at = False, now
        return [row for row in rows if self._is_orphan(row)]

    def _reconcile(self, row: Task) -> None:
        if not self._is_ours(row):
            self._forget(row.id)
        elif row.id not in self._tasks or self._tasks[row.id].revision != row.revision:
            self._place(row)

    def _is_ours(self, row: Task) -> bool:
        if row.status is TaskStatus.PENDING or row.holder is None:
            return self._leadership.leading
        return row.holder == self._leadership.name

    def _is_orphan(self, row: Task) -> bool:
        # Before there were holders, there was one manager: a replica may still be at work.
        held = row.holder is None or self._leadership.is_alive(row.holder)
        return self._leadership.leading and not held

    def _write(self, to_journal: Callable[[Task], Task | None], task: Task) -> Task | None:
        try:
            written = to_journal(task)
        except (JournalUnavailable, StorageFull):
            # The connection may have broken after the change was made; and what a dead manager left is
            # still to be taken over when there is room.
            self._in_doubt = True
            raise
        if written is None:
            self._in_doubt = True
            self._forget(task.id)
            return None
        self._place(written)
        return written

    def _place(self, task: Task) -> None:
        """Keep a task where its status has its place."""
        self._forget(task.id)
        if task.status is TaskStatus.PENDING:
            self._queues[task.engine].add(task)
        elif task.status is TaskStatus.PROCESSING:
            self._processing[task.id] = None
        if not task.status.final:
            self._tasks[task.id] = task

    def _forget(self, task_id: str) -> None:
        task = self._tasks.pop(task_id, None)
        self._processing.pop(task_id, None)
        if task is not None:
            self._queues[task.engine].discard(task)
