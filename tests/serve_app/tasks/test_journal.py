"""The journal keeps every field of a task, in the order of submission, across restarts."""

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import pytest
import sqlalchemy as sa

from models.notices import Notice
from models.params import GenerationParams
from models.progress import Progress, Stage
from serve_app.errors import JournalUnavailable, StorageFull
from serve_app.launcher import ROOT
from serve_app.task import TaskStatus
from serve_app.tasks.journal import Journal
from serve_app.tasks.schema import SCHEMA_VERSION
from tests.serve_app.disk import fill, write_much
from tests.serve_app.new_tasks import A_WARNING, new_task


@contextmanager
def database(url):
    """A connection past the journal."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


# What makes of the columns of SQLite, as the fixtures have them, those of PostgreSQL.
SERIAL = ("sequence INTEGER NOT NULL", "sequence SERIAL NOT NULL")
NUMBER = ("cancelled BOOLEAN DEFAULT 0", "cancelled INTEGER DEFAULT 0")
TO_POSTGRES = """
SELECT setval('tasks_sequence_seq', (SELECT max(sequence) FROM tasks));
"""
TO_BOOLEAN = """
ALTER TABLE tasks ALTER cancelled DROP DEFAULT;
ALTER TABLE tasks ALTER cancelled TYPE BOOLEAN USING cancelled = 1;
ALTER TABLE tasks ALTER cancelled SET DEFAULT false;
"""


def earlier_release(url, version):
    """Write the journal that a release with this schema version wrote."""
    script = (ROOT / "tests" / "data" / f"journal_{version}.sql").read_text()
    if url.startswith("postgresql"):
        script = script.replace(*SERIAL) + TO_POSTGRES
        if NUMBER[0] in script:
            script = script.replace(*NUMBER) + TO_BOOLEAN
    else:
        Path(sa.make_url(url).database).parent.mkdir()
    with database(url) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement.replace("%", "%%"))


def test_a_task_is_read_back_as_it_was_written(journal):
    task = new_task(
        "a", progress=Progress(Stage.ENCODING, 0.99, 23, 24, 1.5, (A_WARNING, Notice.of("no_face"))),
        priority=-3, owner="ann", idempotency_key="k", fingerprint="f" * 64, cancelled=True,
        created_at=1_800_000_000.123456,
        error=Notice.of("gave_up", failures=3, reason=Notice.of("replica_died")),
    )  # fmt: skip
    added = journal.add(task)
    assert journal.get("a") == added == replace(task, sequence=added.sequence)


def test_a_rate_that_is_not_whole_is_exact_here_and_whole_for_earlier_releases(journal, journal_url):
    exact = GenerationParams(fps=Fraction(30_000, 1001))
    journal.save(replace(journal.add(new_task("a", params=exact)), status=TaskStatus.PROCESSING))
    assert journal.get("a").params == exact
    with database(journal_url) as connection:
        stored = column(connection, "a", "params")
    assert stored == {**asdict(GenerationParams(fps=30)), "exact_fps": "30000/1001"}


def test_a_saved_change_is_read_back_by_a_later_process(journal, journal_url):
    changed = replace(
        journal.add(new_task("a")),
        status=TaskStatus.PROCESSING,
        progress=Progress(Stage.GENERATING),
        attempt=2,
        ticket_id="t",
    )
    saved = journal.save(changed)
    later = Journal(journal_url)
    assert later.get("a") == saved == replace(changed, revision=1)
    later.close()


@pytest.mark.parametrize("task_id", ["nobody", "", "no\0body", "☃" * 5000])
def test_an_unknown_task_is_none(journal, task_id):
    assert journal.get(task_id) is None


def test_unfinished_tasks_come_in_the_order_of_submission(journal):
    for name in ("c", "a", "b", "d"):
        journal.add(new_task(name))
    journal.save(new_task("a", status=TaskStatus.COMPLETED))
    journal.save(new_task("d", status=TaskStatus.FAILED))
    assert [task.id for task in journal.unfinished()] == ["c", "b"]


def test_the_same_id_is_accepted_only_once(journal):
    assert journal.add(new_task("a")) is not None
    assert journal.add(new_task("a", engine="another")) is None
    assert journal.get("a").engine == "preview"


def test_a_deleted_task_is_gone(journal):
    journal.add(new_task("a", status=TaskStatus.COMPLETED))
    journal.delete("a")
    journal.delete("a")
    assert journal.get("a") is None


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.PROCESSING])
def test_a_task_that_is_not_finished_cannot_be_deleted(journal, status):
    journal.add(new_task("a", status=status))
    journal.delete("a")
    assert journal.get("a").status is status


class TestRevisions:
    def test_a_change_is_not_written_over_one_it_has_not_seen(self, journal):
        read = journal.add(new_task("a"))
        assert journal.save(replace(read, progress=Progress(fraction=0.5))).revision == 1
        assert journal.save(replace(read, progress=Progress(fraction=0.1))) is None
        assert journal.get("a").progress.fraction == 0.5

    def test_a_task_that_is_gone_is_not_written(self, journal):
        read = journal.add(new_task("a", status=TaskStatus.FAILED))
        journal.delete("a")
        assert journal.save(read) is None
        assert journal.get("a") is None


class TestManagers:
    def test_the_one_that_came_last_is_first_while_it_lives(self, journal):
        for name, until in (("a", 20.0), ("b", 10.0)):
            journal.renew_manager(name, until)
        assert journal.live_managers(5.0, 100.0) == ["b", "a"]
        assert journal.live_managers(15.0, 100.0) == ["a"]
        assert journal.live_managers(25.0, 100.0) == []

    def test_one_that_says_to_live_too_long_does_not(self, journal):
        for name, until in (("a", 20.0), ("b", 10_000.0)):
            journal.renew_manager(name, until)
        assert journal.live_managers(5.0, 100.0) == ["a"]

    def test_it_keeps_its_rank(self, journal):
        for name in ("a", "b", "a"):
            journal.renew_manager(name, 10.0)
        assert journal.live_managers(5.0, 100.0) == ["b", "a"]


class TestIdempotencyKeys:
    def test_a_task_is_found_by_owner_and_key(self, journal):
        journal.add(new_task("a", idempotency_key="k"))
        journal.add(new_task("b", idempotency_key="k", owner="ann"))
        assert journal.with_key(None, "k").id == "a"
        assert journal.with_key("ann", "k").id == "b"
        assert journal.with_key("bob", "k") is None
        assert journal.with_key(None, "other") is None

    @pytest.mark.parametrize("owner", [None, "ann"])
    def test_an_owner_can_use_a_key_only_once(self, journal, owner):
        journal.add(new_task("a", idempotency_key="k", owner=owner))
        assert journal.add(new_task("b", idempotency_key="k", owner=owner)) is None

    def test_tasks_without_a_key_do_not_clash(self, journal):
        journal.add(new_task("a"))
        journal.add(new_task("b"))
        assert len(journal.unfinished()) == 2


class TestLists:
    @pytest.fixture(autouse=True)
    def _tasks(self, journal):
        for name, owner in (("a", "ann"), ("b", None), ("c", "ann"), ("d", "bob")):
            journal.add(new_task(name, owner=owner))
        journal.save(replace(journal.get("a"), status=TaskStatus.COMPLETED, finished_at=100.0))
        journal.save(replace(journal.get("d"), status=TaskStatus.FAILED, finished_at=50.0))

    def newest(self, journal, **changes):
        wanted = {"owner": None, "status": None, "before": None, "limit": 10, **changes}
        return "".join(task.id for task in journal.newest(**wanted))

    def test_the_newest_come_first(self, journal):
        assert self.newest(journal) == "dcba"

    def test_an_owner_sees_its_own_only(self, journal):
        assert self.newest(journal, owner="ann") == "ca"

    def test_a_status_is_one_of_four(self, journal):
        assert self.newest(journal, status=TaskStatus.PENDING) == "cb"
        assert self.newest(journal, status=TaskStatus.PENDING, owner="ann") == "c"

    def test_a_page_begins_where_another_ended(self, journal):
        assert self.newest(journal, limit=2) == "dc"
        assert self.newest(journal, limit=2, before=journal.get("c").sequence) == "ba"
        assert self.newest(journal, before=10**17) == "dcba"

    def test_what_finished_before_a_time_is_listed_oldest_first(self, journal):
        assert [task.id for task in journal.finished_before(101, 10)] == ["d", "a"]
        assert [task.id for task in journal.finished_before(101, 1)] == ["d"]
        assert [task.id for task in journal.finished_before(100, 10)] == ["d"]

    def test_what_has_yet_to_be_told_is_not_listed_as_finished(self, journal):
        journal.save(replace(journal.get("d"), webhook_at=60.0))
        assert [task.id for task in journal.finished_before(101, 10)] == ["a"]

    def test_unfinished_tasks_are_counted(self, journal):
        journal.save(replace(journal.get("b"), status=TaskStatus.PROCESSING))
        assert journal.counts() == {TaskStatus.PENDING: 1, TaskStatus.PROCESSING: 1}
        assert [journal.pending_of(owner) for owner in ("ann", "bob")] == [1, 0]

    def test_known_tasks_are_told_from_unknown_ones(self, journal):
        assert set(journal.known(["a", "nobody", "d"])) == {"a", "d"}


class TestSchema:
    def test_a_journal_of_the_first_release_is_taken_over(self, journal_url):
        earlier_release(journal_url, 1)
        journal = Journal(journal_url)
        assert [task.id for task in journal.unfinished()] == ["waiting", "running"]
        done = journal.get("done")
        assert (done.video, done.finished_at) == ("attempt-1.mp4", 1010.5)
        assert done.progress == Progress(None, 1.0, 48, 48, 6.4, (Notice.of("text", text="a warning"),))
        assert (done.priority, done.owner, done.idempotency_key, done.cancelled) == (0, None, None, False)
        assert journal.add(new_task("new", idempotency_key="k", priority=2)).sequence == 4
        journal.close()
        with database(journal_url) as connection:
            assert (
                connection.execute(sa.text("select version from schema_version")).scalar() == SCHEMA_VERSION
            )

    def test_a_journal_of_the_second_schema_is_taken_over(self, journal_url):
        earlier_release(journal_url, 2)
        journal = Journal(journal_url)
        assert [task.id for task in journal.unfinished()] == ["running", "waiting"]
        assert [task.id for task in journal.webhooks_due(2e9, 10)] == ["due"]
        running, due, done = (journal.get(name) for name in ("running", "due", "done"))
        assert (running.holder, running.attempt, running.priority) == ("the head node", 1, 2)
        assert running.progress.warnings == ("unknown field 'lenght' was ignored",)
        assert due.error.code == "text"
        assert due.error.text.startswith("reference_image: the reference image is damaged")
        assert journal.with_key("ann", "key 1") == due
        assert [notice.code for notice in done.progress.notices] == ["text", "text"]
        assert (done.params.length, done.progress.fraction) == (48, 1.0)
        assert journal.add(new_task("new")).sequence == 6
        journal.close()

    def test_a_row_of_an_earlier_release_keeps_its_sentences_when_it_is_written(self, journal_url):
        earlier_release(journal_url, 2)
        journal = Journal(journal_url)
        due = journal.get("due")
        assert journal.save(replace(due, webhook_at=None))
        assert journal.get("due").error == due.error
        journal.close()
        with database(journal_url) as connection:
            assert column(connection, "due", "error") == due.error.text

    @pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
    def test_a_migrated_journal_has_the_schema_of_a_new_one(self, journal_url, version):
        earlier_release(journal_url, version)
        Journal(journal_url).close()
        with database(journal_url) as connection:
            migrated = _describe(connection)
            versions = _versions(connection)
            for table in ("tasks", "managers", "schema_version"):
                connection.execute(sa.text(f"drop table {table}"))
        Journal(journal_url).close()
        with database(journal_url) as connection:
            assert _describe(connection) == migrated
            assert _versions(connection) == versions

    def test_the_first_start_of_a_release_before_may_have_been_cut_off(self, journal_url):
        Path(sa.make_url(journal_url).database or "").parent.mkdir(parents=True, exist_ok=True)
        with database(journal_url) as connection:
            connection.execute(sa.text("CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY)"))
        journal = Journal(journal_url)
        assert journal.add(new_task("a"))
        journal.close()

    def test_a_step_that_fails_leaves_the_journal_as_it_was(self, journal_url):
        earlier_release(journal_url, 1)
        with database(journal_url) as connection:
            connection.execute(sa.text("CREATE TABLE ix_tasks_finished_at (in_the_way INTEGER)"))
        with pytest.raises((JournalUnavailable, sa.exc.ProgrammingError)):
            Journal(journal_url)
        with database(journal_url) as connection:
            assert "owner" not in {column["name"] for column in sa.inspect(connection).get_columns("tasks")}
            assert connection.execute(sa.text("select version from schema_version")).scalar() == 1

    def test_a_journal_of_a_newer_release_that_needs_one_is_refused(self, journal, journal_url):
        with database(journal_url) as connection:
            connection.execute(sa.text("update schema_version set version = 99, minimum_reader = 98"))
        with pytest.raises(RuntimeError, match=f"version 99 .* version 98; .* up to {SCHEMA_VERSION}"):
            Journal(journal_url)

    def test_a_journal_of_a_newer_release_is_used_where_it_only_adds(self, journal, journal_url):
        journal.add(new_task("a"))
        newer_release(journal_url, "a")
        later = Journal(journal_url)
        task = later.get("a")
        assert task.params == GenerationParams(width=256)
        assert [notice.text for notice in task.progress.notices] == ["hat in the way (share: 0.5)"]
        assert later.save(replace(task, status=TaskStatus.FAILED, error=Notice.of("cancelled")))
        assert later.add(new_task("b")).sequence == 2
        later.close()
        with database(journal_url) as connection:
            assert _versions(connection) == (99, SCHEMA_VERSION)
            assert (column(connection, "a", "mood"), column(connection, "b", "mood")) == ("sad", None)
            assert column(connection, "a", "params") == NEWER_PARAMS
            assert [notice["code"] for notice in column(connection, "a", "notices")] == [
                "hat_in_the_way", "cancelled",
            ]  # fmt: skip

    def test_the_sentences_stand_beside_the_data(self, journal, journal_url):
        journal.add(new_task("a", progress=Progress(notices=(A_WARNING,)), error=Notice.of("cancelled")))
        with database(journal_url) as connection:
            assert column(connection, "a", "warnings") == [A_WARNING.text]
            assert column(connection, "a", "error") == "cancelled"
            assert column(connection, "a", "notices") == [
                {"level": "warning", "code": "several_faces", "values": {"count": 2}},
                {"level": "error", "code": "cancelled", "values": {}},
            ]


class TestFaults:
    def test_sqlite_writes_survive_a_power_cut(self, tmp_path):
        journal = Journal(f"sqlite:///{tmp_path}/tasks.db")
        with journal._engine.connect() as connection:
            assert connection.execute(sa.text("pragma journal_mode")).scalar() == "wal"
            assert connection.execute(sa.text("pragma synchronous")).scalar() == 2  # FULL
        journal.close()

    def test_a_full_disk_is_told_and_loses_nothing(self, small_journal, small_disk):
        first = small_journal.add(new_task("first"))
        ballast = fill(small_disk)
        with pytest.raises(StorageFull):
            write_much(small_journal)
        assert small_journal.get("first") == first
        ballast.unlink()
        assert small_journal.add(new_task("later"))
        assert small_journal.unfinished()[-1].id == "later"

    def test_a_journal_on_a_full_disk_can_be_opened(self, small_journal, small_journal_url, small_disk):
        small_journal.add(new_task("first"))
        fill(small_disk)
        with pytest.raises(StorageFull):
            write_much(small_journal)
        # Whoever wrote it was killed, and closed nothing.
        later = Journal(small_journal_url)
        assert later.unfinished()[0].id == "first"
        later.close()

    def test_a_database_that_became_read_only_is_told(self, new_database):
        url = new_database()
        journal = Journal(url)
        journal.add(new_task("first"))
        with database(url) as connection:
            name = sa.make_url(url).database
            connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        journal.close()  # as connections are when a server becomes a standby
        with pytest.raises(JournalUnavailable):
            journal.add(new_task("second"))
        assert journal.get("first")
        journal.close()

    def test_a_database_that_does_not_answer_is_given_up(self, new_database, monkeypatch):
        monkeypatch.setattr("serve_app.tasks.journal._STATEMENT_TIMEOUT_MS", 200)
        url = new_database()
        journal = Journal(url)
        with database(url) as connection:
            connection.execute(sa.text("LOCK TABLE tasks"))
            with pytest.raises(JournalUnavailable):
                journal.add(new_task("first"))
        assert journal.add(new_task("first"))
        journal.close()

    def test_no_statement_is_prepared_that_a_pooler_would_lose(self, new_database):
        journal = Journal(new_database())
        for _ in range(20):
            journal.get("nobody")
        with journal._engine.connect() as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0
        journal.close()

    def test_a_change_whose_answer_got_lost_may_have_been_made(self, new_database):
        url = new_database()
        journal = Journal(url)

        @sa.event.listens_for(journal._engine, "commit")
        def cut(connection):
            connection.exec_driver_sql("COMMIT")
            raise sa.exc.OperationalError("COMMIT", None, Exception("the connection broke"))

        with pytest.raises(JournalUnavailable) as caught:
            journal.add(new_task("first"))
        assert caught.value.unsure
        sa.event.remove(journal._engine, "commit", cut)
        assert journal.get("first")
        journal.close()

    def test_one_that_was_refused_was_not(self, tmp_path):
        journal = Journal(f"sqlite:///{tmp_path}/tasks.db")
        with sqlite3.connect(tmp_path / "tasks.db") as other:
            other.execute("BEGIN EXCLUSIVE")
            sa.event.listen(journal._engine, "connect", _lose_patience)
            journal.close()
            with pytest.raises(JournalUnavailable) as caught:
                journal.add(new_task("first"))
        assert not caught.value.unsure
        assert journal.add(new_task("first"))
        journal.close()

    def test_a_database_that_cannot_be_reached_is_told_without_its_address(self, tmp_path):
        with pytest.raises(JournalUnavailable) as caught:
            Journal(f"postgresql://me:secret@/tasks?host={tmp_path}")
        assert "secret" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


def _lose_patience(connection, _record):
    connection.execute("PRAGMA busy_timeout=10")


NEWER_PARAMS = {"width": 256, "mood": "sad"}


def newer_release(url, task_id):
    """Make the journal one of a newer release, which has added a column, a parameter and a notice."""
    notices = [{"level": "warning", "code": "hat_in_the_way", "values": {"share": 0.5}}]
    with database(url) as connection:
        connection.execute(sa.text("update schema_version set version = 99"))
        connection.execute(sa.text("alter table tasks add column mood varchar(8)"))
        connection.execute(
            sa.text(
                "update tasks set mood = 'sad', params = :params, warnings = :warnings, notices = :notices "
                "where id = :id"
            ),
            {
                "id": task_id,
                "params": json.dumps(NEWER_PARAMS),
                "warnings": json.dumps(["a hat is in the way"]),
                "notices": json.dumps(notices),
            },
        )


def column(connection, task_id, name):
    """A value as the database has it; what is JSON, as data."""
    value = connection.execute(sa.text(f"select {name} from tasks where id = :id"), {"id": task_id}).scalar()
    return (
        json.loads(value) if name in ("params", "notices", "warnings") and isinstance(value, str) else value
    )


def _versions(connection):
    return connection.execute(sa.text("select version, minimum_reader from schema_version")).one()


def _describe(connection):
    """The columns, and how the database itself words the indexes."""
    columns = {
        (table, column["name"]): (str(column["type"]), column["nullable"])
        for table in ("tasks", "managers", "schema_version")
        for column in sa.inspect(connection).get_columns(table)
    }
    if connection.dialect.name == "sqlite":
        indexes = "select sql from sqlite_master where type = 'index' and sql is not null"
    else:
        indexes = "select indexdef from pg_indexes where tablename = 'tasks'"
    return columns, sorted(connection.execute(sa.text(indexes)).scalars())
