"""The journal, read beside the service."""

from dataclasses import replace

from serve_app.task import TaskStatus
from serve_app.tasks.journal import TaskStore
from tests.chaos.journal import Journal
from tests.serve_app.new_tasks import new_task


def test_every_end_of_a_task_is_noted_and_what_follows_it(tmp_path):
    store, journal = TaskStore(f"sqlite:///{tmp_path}/tasks.db"), Journal(tmp_path / "tasks.db")
    journal.watch()
    task = store.save(replace(store.add(new_task("a")), status=TaskStatus.PROCESSING, attempt=1))
    assert journal.ends("a") == []
    ended = store.save(replace(task, status=TaskStatus.COMPLETED, video="attempt-1.mp4"))
    assert journal.ends("a") == ["completed attempt-1.mp4"]
    store.save(replace(task, revision=ended.revision))
    assert journal.ends("a") == ["completed attempt-1.mp4", "processing None"]
    entry = journal.entries()["a"]
    assert (entry.frame_count, entry.status, entry.attempt) == (task.params.length, "processing", 1)
    store.close()


def test_a_journal_that_is_not_there_has_no_tasks(tmp_path):
    journal = Journal(tmp_path / "tasks.db")
    journal.watch()
    assert journal.entries() == {}
