"""The task journal: every change of a task's state is here before anyone is told of it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from models.params import GenerationParams
from serve_app.task import Stage, Task, TaskStatus

SCHEMA_VERSION = 1

_metadata = sa.MetaData()

_schema = sa.Table("schema_version", _metadata, sa.Column("version", sa.Integer, primary_key=True))

_tasks = sa.Table(
    "tasks",
    _metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(36), unique=True, nullable=False),
    sa.Column("engine", sa.String(32), nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("requested_device", sa.String(32), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("stage", sa.String(16)),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("ticket_id", sa.String(36)),
    sa.Column("device", sa.String(32)),
    sa.Column("frames_requested", sa.Integer),
    sa.Column("frames_generated", sa.Integer, nullable=False),
    sa.Column("audio_seconds", sa.Float),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("video", sa.String(64)),
    sa.Column("error", sa.Text),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float),
)


class TaskStore:
    """Tasks in a SQL database, written through.

    Args:
        url: SQLAlchemy URL; the folder of a SQLite file is created.

    Raises:
        RuntimeError: the database was written by another version of the schema.
    """

    def __init__(self, url: str):
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            _prepare_sqlite(self._engine.url)
            sa.event.listen(self._engine, "connect", _set_sqlite_pragmas)
        with self._engine.begin() as connection:
            _metadata.create_all(connection)
            _check_schema(connection)

    def add(self, task: Task) -> None:
        """Write a new task, behind all others in the order of submission."""
        with self._engine.begin() as connection:
            connection.execute(_tasks.insert().values(_to_values(task)))

    def save(self, task: Task) -> None:
        """Overwrite the row of a task that was added before."""
        with self._engine.begin() as connection:
            connection.execute(_tasks.update().where(_tasks.c.id == task.id).values(_to_values(task)))

    def get(self, task_id: str) -> Task | None:
        """The task with this id, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(_tasks.select().where(_tasks.c.id == task_id)).one_or_none()
        return None if row is None else _to_task(row)

    def unfinished(self) -> list[Task]:
        """Every task that is neither completed nor failed, in the order of submission."""
        final = [status.value for status in TaskStatus if status.final]
        query = _tasks.select().where(_tasks.c.status.not_in(final)).order_by(_tasks.c.sequence)
        with self._engine.connect() as connection:
            return [_to_task(row) for row in connection.execute(query)]

    def close(self) -> None:
        """Give the database's connections back."""
        self._engine.dispose()


def _prepare_sqlite(url: sa.URL) -> None:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)


def _set_sqlite_pragmas(connection: Any, _record: Any) -> None:
    # WAL lets others read while the manager writes; FULL survives a power cut.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=5000")


def _check_schema(connection: sa.Connection) -> None:
    found = connection.execute(sa.select(_schema.c.version)).scalar_one_or_none()
    if found is None:
        connection.execute(_schema.insert().values(version=SCHEMA_VERSION))
    elif found != SCHEMA_VERSION:
        raise RuntimeError(
            f"the task journal has schema version {found}, this release reads version {SCHEMA_VERSION}"
        )


def _to_values(task: Task) -> dict[str, Any]:
    values = asdict(task)
    values["status"] = task.status.value
    values["stage"] = task.stage.value if task.stage else None
    values["warnings"] = list(task.warnings)
    return values


def _to_task(row: sa.Row[Any]) -> Task:
    values = dict(row._mapping)
    del values["sequence"]
    values["params"] = GenerationParams(**values["params"])
    values["status"] = TaskStatus(values["status"])
    values["stage"] = Stage(values["stage"]) if values["stage"] else None
    values["warnings"] = tuple(values["warnings"])
    return Task(**values)
