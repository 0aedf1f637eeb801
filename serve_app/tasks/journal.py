"""The task journal: every change of a task's state is written here before anyone learns of it."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from models.params import GenerationParams
from serve_app.errors import JournalUnavailable, StorageFull
from serve_app.storage.durable import make_folder
from serve_app.task import Task, TaskStatus
from serve_app.tasks.schema import managers, migrate, tasks

logger = logging.getLogger("ray.serve")

_FINAL = [status.value for status in TaskStatus if status.final]

# PostgreSQL's error code, https://www.postgresql.org/docs/current/errcodes-appendix.html
_DISK_FULL = "53100"

# Raised by a database that cannot be reached, has become read-only, or closed the connection.
_UNAVAILABLE = (sa.exc.OperationalError, sa.exc.InternalError, sa.exc.InterfaceError)

# The manager does nothing else while it waits for the journal. By default PostgreSQL's client waits without
# limit for an answer, and for hours for a host that has vanished.
# https://www.postgresql.org/docs/current/libpq-connect.html
_CONNECTION = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    # A pooler may give the next transaction another connection, which has no statement prepared.
    "prepare_threshold": None,
}
_STATEMENT_TIMEOUT_MS = 30_000


class Journal:
    """Tasks in a SQL database, written through.

    Every method raises StorageFull when the database's disk is full, in which case nothing was changed, and
    JournalUnavailable when the database cannot be used; its `unsure` says whether the change may have been
    made nevertheless.

    Args:
        url: SQLAlchemy URL of a SQLite or PostgreSQL database; the folder of a SQLite file is created.
            Connection parameters in the URL of a PostgreSQL database override ours.

    Raises:
        RuntimeError: a newer release wrote the database, and this one cannot use it.
    """

    def __init__(self, url: str):
        # A database server may have been restarted since a connection was last used.
        parameters = _connection_parameters(sa.make_url(url))
        self._engine = sa.create_engine(url, pool_pre_ping=True, connect_args=parameters)
        if self._engine.dialect.name == "sqlite":
            _prepare_sqlite(self._engine.url)
            sa.event.listen(self._engine, "connect", _set_sqlite_pragmas)
        try:
            with self._begin(limited=False) as connection:
                migrate(connection)
        except Exception:
            self.close()
            raise

    def add(self, task: Task) -> Task | None:
        """Write a new task, last in the order of submission.

        Returns:
            The task with its sequence; None if its id, or its owner's idempotency key, is already there.
        """
        try:
            with self._begin() as connection:
                inserted = connection.execute(tasks.insert().values(_to_values(task)))
                key = inserted.inserted_primary_key
        except sa.exc.IntegrityError:
            return None
        return replace(task, sequence=key and key[0])

    def save(self, task: Task) -> Task | None:
        """Overwrite the row of a task, unless it has changed since this one was read.

        Returns:
            The task with its new revision; None if another manager changed or removed it first.
        """
        saved = replace(task, revision=task.revision + 1)
        values = _to_values(saved)
        # Parameters never change, and a newer release may have written some that are unknown here.
        del values["params"]
        same = (tasks.c.id == task.id, tasks.c.revision == task.revision)
        with self._begin() as connection:
            changed = connection.execute(tasks.update().where(*same).values(values)).rowcount
        return saved if changed else None

    def delete(self, task_id: str) -> None:
        """Delete a finished task; an unfinished one stays, and a missing one is no error."""
        finished = tasks.c.status.in_(_FINAL)
        with self._begin() as connection:
            connection.execute(tasks.delete().where(tasks.c.id == task_id, finished))

    def get(self, task_id: str) -> Task | None:
        """The task with this id, or None."""
        if "\0" in task_id:  # PostgreSQL refuses it in any text
            return None
        found = self._select(tasks.select().where(tasks.c.id == task_id))
        return found[0] if found else None

    def with_key(self, owner: str | None, idempotency_key: str) -> Task | None:
        """The task that this owner submitted with this key, or None."""
        same_owner = sa.func.coalesce(tasks.c.owner, "") == (owner or "")
        found = self._select(tasks.select().where(same_owner, tasks.c.idempotency_key == idempotency_key))
        return found[0] if found else None

    def known(self, task_ids: Iterable[str]) -> dict[str, Task]:
        """The tasks with these ids that exist, by id; pass a few hundred ids at most."""
        found = self._select(tasks.select().where(tasks.c.id.in_(list(task_ids))))
        return {task.id: task for task in found}

    def unfinished(self) -> list[Task]:
        """Every task that is neither completed nor failed, in the order of submission."""
        query = tasks.select().where(tasks.c.status.not_in(_FINAL))
        return self._select(query.order_by(tasks.c.sequence))

    def counts(self) -> dict[TaskStatus, int]:
        """How many tasks are pending and how many processing."""
        return {
            status: self._count(tasks.c.status == status.value) for status in TaskStatus if not status.final
        }

    def pending_of(self, owner: str) -> int:
        """How many tasks of this owner are pending."""
        return self._count(tasks.c.status == TaskStatus.PENDING.value, tasks.c.owner == owner)

    def finished_before(self, time: float, limit: int) -> list[Task]:
        """Tasks that ended before this time (seconds since the epoch), no webhook pending; oldest first."""
        # Written so that SQLite does not choose the index on `webhook_at`, which few rows have.
        no_webhook_due = sa.func.coalesce(tasks.c.webhook_at, -1.0) < 0
        query = tasks.select().where(tasks.c.finished_at < time, no_webhook_due)
        return self._select(query.order_by(tasks.c.finished_at).limit(limit))

    def webhooks_due(self, time: float, limit: int) -> list[Task]:
        """Tasks whose webhook is due by this time (seconds since the epoch), the longest overdue first."""
        query = tasks.select().where(tasks.c.webhook_at <= time)
        return self._select(query.order_by(tasks.c.webhook_at).limit(limit))

    def newest(
        self, *, owner: str | None, status: TaskStatus | None, before: int | None, limit: int
    ) -> list[Task]:
        """Tasks in the reverse order of submission.

        Args:
            owner: only this owner's; None for all.
            status: only those with this status; None for all.
            before: only those with a lower sequence; None begins with the newest.
            limit: the maximum number of tasks.
        """
        query = tasks.select().order_by(tasks.c.sequence.desc()).limit(limit)
        if owner is not None:
            query = query.where(tasks.c.owner == owner)
        if status is not None:
            query = query.where(tasks.c.status == status.value)
        if before is not None:
            # A client can send any number, also one that is too large for PostgreSQL's INTEGER.
            query = query.where(tasks.c.sequence < sa.literal(before, sa.BigInteger))
        return self._select(query)

    def renew_manager(self, name: str, alive_until: float) -> None:
        """Record that a manager is alive until this time; one that is new here gets the highest epoch."""
        epoch = sa.select(sa.func.coalesce(sa.func.max(managers.c.epoch), 0) + 1).scalar_subquery()
        with self._begin() as connection:
            renewed = managers.update().where(managers.c.name == name).values(alive_until=alive_until)
            if connection.execute(renewed).rowcount == 0:
                new = managers.insert().values(name=name, epoch=epoch, alive_until=alive_until)
                connection.execute(new)

    def live_managers(self, now: float, latest: float) -> list[str]:
        """Names of the managers that are alive, newest first.

        Args:
            now: seconds since the epoch.
            latest: the latest time until which a manager can be alive; one beyond it had a wrong clock.
        """
        until = managers.c.alive_until
        live = sa.select(managers.c.name).where(until > now, until <= latest)
        with self._begin() as connection:
            return list(connection.execute(live.order_by(managers.c.epoch.desc())).scalars())

    def close(self) -> None:
        """Close the database's connections."""
        self._engine.dispose()

    def _count(self, *conditions: sa.ColumnElement[bool]) -> int:
        query = sa.select(sa.func.count()).select_from(tasks).where(*conditions)
        with self._begin() as connection:
            return int(connection.execute(query).scalar_one())

    def _select(self, query: sa.Select[Any]) -> list[Task]:
        with self._begin() as connection:
            return [_to_task(row) for row in connection.execute(query)]

    @contextmanager
    def _begin(self, *, limited: bool = True) -> Iterator[sa.Connection]:
        committing = False
        try:
            with self._engine.begin() as connection:
                if limited and connection.dialect.name == "postgresql":
                    # Not as a connection parameter: poolers refuse those that they do not know.
                    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {_STATEMENT_TIMEOUT_MS}")
                yield connection
                committing = True
        except _UNAVAILABLE as error:
            if _is_disk_full(error.orig):
                raise StorageFull from error
            logger.warning("the task journal cannot be used: %s", error.orig)
            raise JournalUnavailable(unsure=committing) from error


def _is_disk_full(error: BaseException | None) -> bool:
    # Python 3.10 does not expose SQLite's error code.
    return getattr(error, "sqlstate", None) == _DISK_FULL or "disk is full" in str(error)


def _connection_parameters(url: sa.URL) -> dict[str, Any]:
    if url.get_backend_name() != "postgresql":
        return {}
    return {name: value for name, value in _CONNECTION.items() if name not in url.query}


def _prepare_sqlite(url: sa.URL) -> None:
    if url.database:
        make_folder(Path(url.database).parent)


def _set_sqlite_pragmas(connection: Any, _record: Any) -> None:
    # WAL lets others read while the manager writes; FULL survives a power cut.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=5000")


def _to_values(task: Task) -> dict[str, Any]:
    """The columns of a task's row."""
    values = task.flat()
    values["status"] = task.status.value
    values["stage"] = values["stage"] and values["stage"].value
    values["params"] = task.params.flat()
    values["warnings"] = list(values["warnings"])
    if task.sequence is None:
        del values["sequence"]
    return values


def _to_task(row: sa.Row[Any]) -> Task:
    values = dict(row._mapping)
    values["status"] = TaskStatus(values["status"])
    values["params"] = GenerationParams.from_flat(values["params"])
    return Task.from_flat(values)
