"""The journal keeps every field of a task, in the order of submission, across restarts."""

import sqlite3
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from serve_app.errors import JournalUnavailable, StorageFull
from serve_app.launcher import ROOT
from serve_app.task import Stage, TaskStatus
from serve_app.tasks.journal import TaskStore
from serve_app.tasks.schema import SCHEMA_VERSION
from tests.serve_app.disk import fill, write_much
from tests.serve_app.new_tasks import new_task

JOURNAL_1 = (ROOT / "tests" / "data" / "journal_1.sql").read_text()


@contextmanager
def database(url):
    """A connection past the store."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def first_release(url):
    """Write the journal of the first release."""
    script = JOURNAL_1
    if url.startswith("postgresql"):
        script = script.replace("sequence INTEGER NOT NULL", "sequence SERIAL NOT NULL")
        script += "SELECT setval('tasks_sequence_seq', 3);"
    else:
        Path(sa.make_url(url).database).parent.mkdir()
    with database(url) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement.replace("%", "%%"))


def test_a_task_is_read_back_as_it_was_written(store):
    task = new_task(
        "a", warnings=("one", "two"), audio_seconds=1.5, priority=-3, owner="ann", idempotency_key="k",
        fingerprint="f" * 64, cancelled=True, created_at=1_800_000_000.123456,
    )  # fmt: skip
    added = store.add(task)
    assert store.get("a") == added == replace(task, sequence=added.sequence)


def test_a_saved_change_is_read_back_by_a_later_process(store, journal_url):
    changed = replace(
        store.add(new_task("a")),
        status=TaskStatus.PROCESSING,
        stage=Stage.GENERATING,
        attempt=2,
        ticket_id="t",
    )
    saved = store.save(changed)
    later = TaskStore(journal_url)
    assert later.get("a") == saved == replace(changed, revision=1)
    later.close()


@pytest.mark.parametrize("task_id", ["nobody", "", "no\0body", "☃" * 5000])
def test_an_unknown_task_is_none(store, task_id):
    assert store.get(task_id) is None


def test_unfinished_tasks_come_in_the_order_of_submission(store):
    for name in ("c", "a", "b", "d"):
        store.add(new_task(name))
    store.save(new_task("a", status=TaskStatus.COMPLETED))
    store.save(new_task("d", status=TaskStatus.FAILED))
    assert [task.id for task in store.unfinished()] == ["c", "b"]


def test_the_same_id_is_accepted_only_once(store):
    assert store.add(new_task("a")) is not None
    assert store.add(new_task("a", engine="another")) is None
    assert store.get("a").engine == "preview"


def test_a_deleted_task_is_gone(store):
    store.add(new_task("a", status=TaskStatus.COMPLETED))
    store.delete("a")
    store.delete("a")
    assert store.get("a") is None


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.PROCESSING])
def test_a_task_that_is_not_finished_cannot_be_deleted(store, status):
    store.add(new_task("a", status=status))
    store.delete("a")
    assert store.get("a").status is status


class TestRevisions:
    def test_a_change_is_not_written_over_one_it_has_not_seen(self, store):
        read = store.add(new_task("a"))
        assert store.save(replace(read, progress=0.5)).revision == 1
        assert store.save(replace(read, progress=0.1)) is None
        assert store.get("a").progress == 0.5

    def test_a_task_that_is_gone_is_not_written(self, store):
        read = store.add(new_task("a", status=TaskStatus.FAILED))
        store.delete("a")
        assert store.save(read) is None
        assert store.get("a") is None


class TestManagers:
    def test_the_one_that_came_last_is_first_while_it_lives(self, store):
        for name, until in (("a", 20.0), ("b", 10.0)):
            store.renew_manager(name, until)
        assert store.live_managers(5.0, 100.0) == ["b", "a"]
        assert store.live_managers(15.0, 100.0) == ["a"]
        assert store.live_managers(25.0, 100.0) == []

    def test_one_that_says_to_live_too_long_does_not(self, store):
        for name, until in (("a", 20.0), ("b", 10_000.0)):
            store.renew_manager(name, until)
        assert store.live_managers(5.0, 100.0) == ["a"]

    def test_it_keeps_its_rank(self, store):
        for name in ("a", "b", "a"):
            store.renew_manager(name, 10.0)
        assert store.live_managers(5.0, 100.0) == ["b", "a"]


class TestIdempotencyKeys:
    def test_a_task_is_found_by_owner_and_key(self, store):
        store.add(new_task("a", idempotency_key="k"))
        store.add(new_task("b", idempotency_key="k", owner="ann"))
        assert store.with_key(None, "k").id == "a"
        assert store.with_key("ann", "k").id == "b"
        assert store.with_key("bob", "k") is None
        assert store.with_key(None, "other") is None

    @pytest.mark.parametrize("owner", [None, "ann"])
    def test_an_owner_can_use_a_key_only_once(self, store, owner):
        store.add(new_task("a", idempotency_key="k", owner=owner))
        assert store.add(new_task("b", idempotency_key="k", owner=owner)) is None

    def test_tasks_without_a_key_do_not_clash(self, store):
        store.add(new_task("a"))
        store.add(new_task("b"))
        assert len(store.unfinished()) == 2


class TestLists:
    @pytest.fixture(autouse=True)
    def _tasks(self, store):
        for name, owner in (("a", "ann"), ("b", None), ("c", "ann"), ("d", "bob")):
            store.add(new_task(name, owner=owner))
        store.save(replace(store.get("a"), status=TaskStatus.COMPLETED, finished_at=100.0))
        store.save(replace(store.get("d"), status=TaskStatus.FAILED, finished_at=50.0))

    def newest(self, store, **changes):
        wanted = {"owner": None, "status": None, "before": None, "limit": 10, **changes}
        return "".join(task.id for task in store.newest(**wanted))

    def test_the_newest_come_first(self, store):
        assert self.newest(store) == "dcba"

    def test_an_owner_sees_its_own_only(self, store):
        assert self.newest(store, owner="ann") == "ca"

    def test_a_status_is_one_of_four(self, store):
        assert self.newest(store, status=TaskStatus.PENDING) == "cb"
        assert self.newest(store, status=TaskStatus.PENDING, owner="ann") == "c"

    def test_a_page_begins_where_another_ended(self, store):
        assert self.newest(store, limit=2) == "dc"
        assert self.newest(store, limit=2, before=store.get("c").sequence) == "ba"
        assert self.newest(store, before=10**17) == "dcba"

    def test_what_finished_before_a_time_is_listed_oldest_first(self, store):
        assert [task.id for task in store.finished_before(101, 10)] == ["d", "a"]
        assert [task.id for task in store.finished_before(101, 1)] == ["d"]
        assert [task.id for task in store.finished_before(100, 10)] == ["d"]

    def test_what_has_yet_to_be_told_is_not_listed_as_finished(self, store):
        store.save(replace(store.get("d"), webhook_at=60.0))
        assert [task.id for task in store.finished_before(101, 10)] == ["a"]

    def test_unfinished_tasks_are_counted(self, store):
        store.save(replace(store.get("b"), status=TaskStatus.PROCESSING))
        assert store.counts() == {TaskStatus.PENDING: 1, TaskStatus.PROCESSING: 1}
        assert [store.pending_of(owner) for owner in ("ann", "bob")] == [1, 0]

    def test_known_tasks_are_told_from_unknown_ones(self, store):
        assert set(store.known(["a", "nobody", "d"])) == {"a", "d"}


class TestSchema:
    def test_a_journal_of_the_first_release_is_taken_over(self, journal_url):
        first_release(journal_url)
        store = TaskStore(journal_url)
        assert [task.id for task in store.unfinished()] == ["waiting", "running"]
        done = store.get("done")
        assert (done.video, done.warnings, done.finished_at) == ("attempt-1.mp4", ("a warning",), 1010.5)
        assert (done.priority, done.owner, done.idempotency_key, done.cancelled) == (0, None, None, False)
        assert store.add(new_task("new", idempotency_key="k", priority=2)).sequence == 4
        store.close()
        with database(journal_url) as connection:
            assert (
                connection.execute(sa.text("select version from schema_version")).scalar() == SCHEMA_VERSION
            )

    def test_a_migrated_journal_has_the_schema_of_a_new_one(self, journal_url):
        first_release(journal_url)
        TaskStore(journal_url).close()
        with database(journal_url) as connection:
            migrated = _describe(connection)
            for table in ("tasks", "managers", "schema_version"):
                connection.execute(sa.text(f"drop table {table}"))
        TaskStore(journal_url).close()
        with database(journal_url) as connection:
            assert _describe(connection) == migrated

    def test_a_step_that_fails_leaves_the_journal_as_it_was(self, journal_url):
        first_release(journal_url)
        with database(journal_url) as connection:
            connection.execute(sa.text("CREATE TABLE ix_tasks_finished_at (in_the_way INTEGER)"))
        with pytest.raises((JournalUnavailable, sa.exc.ProgrammingError)):
            TaskStore(journal_url)
        with database(journal_url) as connection:
            assert "owner" not in {column["name"] for column in sa.inspect(connection).get_columns("tasks")}
            assert connection.execute(sa.text("select version from schema_version")).scalar() == 1

    def test_a_journal_of_a_newer_release_is_refused_with_both_versions(self, store, journal_url):
        with database(journal_url) as connection:
            connection.execute(sa.text("update schema_version set version = 99"))
        with pytest.raises(RuntimeError, match=f"version 99, .* up to {SCHEMA_VERSION}"):
            TaskStore(journal_url)


class TestFaults:
    def test_sqlite_writes_survive_a_power_cut(self, tmp_path):
        store = TaskStore(f"sqlite:///{tmp_path}/tasks.db")
        with store._engine.connect() as connection:
            assert connection.execute(sa.text("pragma journal_mode")).scalar() == "wal"
            assert connection.execute(sa.text("pragma synchronous")).scalar() == 2  # FULL
        store.close()

    def test_a_full_disk_is_told_and_loses_nothing(self, small_store, small_disk):
        first = small_store.add(new_task("first"))
        ballast = fill(small_disk)
        with pytest.raises(StorageFull):
            write_much(small_store)
        assert small_store.get("first") == first
        ballast.unlink()
        assert small_store.add(new_task("later"))
        assert small_store.unfinished()[-1].id == "later"

    def test_a_journal_on_a_full_disk_can_be_opened(self, small_store, small_journal_url, small_disk):
        small_store.add(new_task("first"))
        fill(small_disk)
        with pytest.raises(StorageFull):
            write_much(small_store)
        # Whoever wrote it was killed, and closed nothing.
        later = TaskStore(small_journal_url)
        assert later.unfinished()[0].id == "first"
        later.close()

    def test_a_database_that_became_read_only_is_told(self, postgres_url, new_database):
        url = new_database(postgres_url)
        store = TaskStore(url)
        store.add(new_task("first"))
        with database(url) as connection:
            name = sa.make_url(url).database
            connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        store.close()  # as connections are when a server becomes a standby
        with pytest.raises(JournalUnavailable):
            store.add(new_task("second"))
        assert store.get("first")
        store.close()

    def test_a_database_that_does_not_answer_is_given_up(self, postgres_url, new_database, monkeypatch):
        monkeypatch.setattr("serve_app.tasks.journal._STATEMENT_TIMEOUT_MS", 200)
        url = new_database(postgres_url)
        store = TaskStore(url)
        with database(url) as connection:
            connection.execute(sa.text("LOCK TABLE tasks"))
            with pytest.raises(JournalUnavailable):
                store.add(new_task("first"))
        assert store.add(new_task("first"))
        store.close()

    def test_no_statement_is_prepared_that_a_pooler_would_lose(self, postgres_url, new_database):
        store = TaskStore(new_database(postgres_url))
        for _ in range(20):
            store.get("nobody")
        with store._engine.connect() as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0
        store.close()

    def test_a_change_whose_answer_got_lost_may_have_been_made(self, postgres_url, new_database):
        url = new_database(postgres_url)
        store = TaskStore(url)

        @sa.event.listens_for(store._engine, "commit")
        def cut(connection):
            connection.exec_driver_sql("COMMIT")
            raise sa.exc.OperationalError("COMMIT", None, Exception("the connection broke"))

        with pytest.raises(JournalUnavailable) as caught:
            store.add(new_task("first"))
        assert caught.value.unsure
        sa.event.remove(store._engine, "commit", cut)
        assert store.get("first")
        store.close()

    def test_one_that_was_refused_was_not(self, tmp_path):
        store = TaskStore(f"sqlite:///{tmp_path}/tasks.db")
        with sqlite3.connect(tmp_path / "tasks.db") as other:
            other.execute("BEGIN EXCLUSIVE")
            sa.event.listen(store._engine, "connect", _lose_patience)
            store.close()
            with pytest.raises(JournalUnavailable) as caught:
                store.add(new_task("first"))
        assert not caught.value.unsure
        assert store.add(new_task("first"))
        store.close()

    def test_a_database_that_cannot_be_reached_is_told_without_its_address(self, tmp_path):
        with pytest.raises(JournalUnavailable) as caught:
            TaskStore(f"postgresql://me:secret@/tasks?host={tmp_path}")
        assert "secret" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


def _lose_patience(connection, _record):
    connection.execute("PRAGMA busy_timeout=10")


def _describe(connection):
    """The columns, and how the database itself words the indexes."""
    columns = {
        (table, column["name"]): (str(column["type"]), column["nullable"])
        for table in ("tasks", "managers")
        for column in sa.inspect(connection).get_columns(table)
    }
    if connection.dialect.name == "sqlite":
        indexes = "select sql from sqlite_master where type = 'index' and sql is not null"
    else:
        indexes = "select indexdef from pg_indexes where tablename = 'tasks'"
    return columns, sorted(connection.execute(sa.text(indexes)).scalars())
