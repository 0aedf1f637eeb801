"""The journal keeps every field of a task, in the order of submission, across restarts."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from serve_app.task import Stage, TaskStatus
from serve_app.task_store import SCHEMA_VERSION, TaskStore
from tests.serve_app.tasks import new_task


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'below' / 'tasks.db'}"


@pytest.fixture
def store(url):
    store = TaskStore(url)
    yield store
    store.close()


def test_a_task_is_read_back_as_it_was_written(store):
    task = new_task("a", warnings=("one", "two"), audio_seconds=1.5)
    store.add(task)
    assert store.get("a") == task


def test_a_saved_change_is_read_back_by_a_later_process(store, url):
    store.add(new_task("a"))
    changed = replace(
        new_task("a"), status=TaskStatus.PROCESSING, stage=Stage.GENERATING, attempt=2, ticket_id="t"
    )
    store.save(changed)
    later = TaskStore(url)
    assert later.get("a") == changed
    later.close()


def test_an_unknown_task_is_none(store):
    assert store.get("nobody") is None


def test_unfinished_tasks_come_in_the_order_of_submission(store):
    for name in ("c", "a", "b", "d"):
        store.add(new_task(name))
    store.save(new_task("a", status=TaskStatus.COMPLETED))
    store.save(new_task("d", status=TaskStatus.FAILED))
    assert [task.id for task in store.unfinished()] == ["c", "b"]


def test_the_same_id_is_accepted_only_once(store):
    store.add(new_task("a"))
    with pytest.raises(sa.exc.IntegrityError):
        store.add(new_task("a"))


def test_a_journal_of_another_schema_is_refused_by_both_versions(store, url):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("update schema_version set version = 99"))
    engine.dispose()
    with pytest.raises(RuntimeError, match=f"version 99, this release reads version {SCHEMA_VERSION}"):
        TaskStore(url)


def test_sqlite_writes_survive_a_power_cut(store):
    with store._engine.connect() as connection:
        assert connection.execute(sa.text("pragma journal_mode")).scalar() == "wal"
        assert connection.execute(sa.text("pragma synchronous")).scalar() == 2  # FULL
