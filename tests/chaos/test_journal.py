"""The journal, read beside the service."""

from dataclasses import replace

from serve_app.task import TaskStatus
from serve_app.tasks.journal import Journal
from tests.chaos.journal import JournalReader
from tests.serve_app.new_tasks import new_task


def test_every_end_of_a_task_is_noted_and_what_follows_it(tmp_path):
    journal, reader = Journal(f"sqlite:///{tmp_path}/tasks.db"), JournalReader(tmp_path / "tasks.db")
    reader.watch()
    task = journal.save(replace(journal.add(new_task("a")), status=TaskStatus.PROCESSING, attempt=1))
    assert reader.ends("a") == []
    ended = journal.save(replace(task, status=TaskStatus.COMPLETED, video="attempt-1.mp4"))
    assert reader.ends("a") == ["completed attempt-1.mp4"]
    journal.save(replace(task, revision=ended.revision))
    assert reader.ends("a") == ["completed attempt-1.mp4", "processing None"]
    entry = reader.entries()["a"]
    assert (entry.frame_count, entry.status, entry.attempt) == (task.params.length, "processing", 1)
    journal.close()


def test_a_journal_that_is_not_there_has_no_tasks(tmp_path):
    reader = JournalReader(tmp_path / "tasks.db")
    reader.watch()
    assert reader.entries() == {}
