"""A journal whose connection breaks after the database has made a change."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from serve_app.errors import JournalUnavailable
from serve_app.task import Task
from serve_app.tasks.journal import TaskStore


@contextmanager
def losing_answers(store: TaskStore, method: str) -> Iterator[None]:
    """What this method of the store writes is written, and its caller does not hear of it."""
    write = getattr(store, method)

    def lost(task: Task) -> None:
        write(task)
        raise JournalUnavailable(unsure=True)

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(store, method, lost)
        yield
