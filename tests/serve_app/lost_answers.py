"""A journal whose connection breaks after the database has made a change."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from serve_app.errors import JournalUnavailable
from serve_app.task import Task
from serve_app.tasks.journal import Journal


@contextmanager
def losing_answers(journal: Journal, method: str) -> Iterator[None]:
    """What this method of the journal writes is written, and its caller does not hear of it."""
    write = getattr(journal, method)

    def lost(task: Task) -> None:
        write(task)
        raise JournalUnavailable(unsure=True)

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(journal, method, lost)
        yield
