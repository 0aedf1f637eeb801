"""The service's task journal, read beside it; and a log of final states that the database itself keeps."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

# One line for every change to a task that ends it or that happens after its end.
_WATCH = """
CREATE TABLE IF NOT EXISTS chaos_finals (id TEXT, status TEXT, video TEXT);
CREATE TRIGGER IF NOT EXISTS chaos_watch AFTER UPDATE ON tasks
WHEN 'completed' IN (OLD.status, NEW.status) OR 'failed' IN (OLD.status, NEW.status)
BEGIN INSERT INTO chaos_finals VALUES (NEW.id, NEW.status, NEW.video); END;
"""


@dataclass(frozen=True)
class Entry:
    """A task as the journal has it."""

    id: str
    frame_count: int  # as ordered
    status: str
    attempt: int
    failures: int
    video: str | None
    error: str | None

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.status in ("completed", "failed")


class JournalReader:
    """Reads the SQLite file; a journal that is not there has no tasks.

    Args:
        path: the file.
    """

    def __init__(self, path: Path):
        self._path = path

    def watch(self) -> None:
        """Have the database log final states from now on, where there is one."""
        if self._rows("SELECT 1 FROM sqlite_master WHERE name = 'tasks'"):
            with closing(sqlite3.connect(self._path, timeout=30)) as connection:
                connection.executescript(_WATCH)

    def entries(self) -> dict[str, Entry]:
        """Every task, by its id."""
        rows = self._rows(
            "SELECT id, json_extract(params, '$.length'), status, attempt, failures, video, error FROM tasks"
        )
        return {row[0]: Entry(*row) for row in rows}

    def ends(self, task_id: str) -> list[str]:
        """Each state, with its video, that was written when this task ended or later."""
        rows = self._rows("SELECT status, video FROM chaos_finals WHERE id = ?", task_id)
        return [f"{status} {video}" for status, video in rows]

    def _rows(self, query: str, *values: str) -> list[tuple]:
        if not self._path.exists():
            return []
        with closing(sqlite3.connect(self._path, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()
