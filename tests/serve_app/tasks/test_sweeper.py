"""What has had its time is removed; what is still needed stays."""

import os
import uuid

import pytest

from serve_app.errors import StorageFull
from serve_app.storage.local import LocalStorage
from serve_app.task import TaskStatus
from serve_app.tasks.sweeper import Sweeper
from tests.serve_app.new_tasks import new_task
from tests.serve_app.stored import save_uploads

NOW = 1_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


@pytest.fixture
def sweep(journal, storage):
    return Sweeper(journal, storage, keep_tasks_s=7 * DAY, keep_uploads_s=HOUR, clock=lambda: NOW).sweep


@pytest.fixture
def write(storage):
    """Writes the uploads of a task and a video with each of these names, an age ago."""

    def files(task_id, *videos, age=2 * HOUR):
        save_uploads(storage, task_id)
        written = [*storage.root.joinpath("uploads", task_id).iterdir()]
        written += [path_of(storage, task_id, name) for name in videos]
        for path in written:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"content")
        for path in (*written, *(path.parent for path in written)):
            os.utime(path, (NOW - age, NOW - age))

    return files


def path_of(storage, task_id, video):
    return storage.root / "videos" / task_id / video


def left(storage):
    """What is in the folders of the tasks."""
    return sorted(path.name for path in storage.root.glob("*/*/*"))


def add(journal, **changes):
    """A task in the journal; returns its id."""
    task = new_task(str(uuid.uuid4()))
    journal.add(task)
    journal.save(new_task(task.id, **changes))
    return task.id


def completed(journal, age):
    return add(journal, status=TaskStatus.COMPLETED, video="attempt-2.mp4", finished_at=NOW - age)


def test_a_task_has_its_time(journal, storage, sweep, write):
    old, young = completed(journal, 7 * DAY + 1), completed(journal, 7 * DAY - 1)
    for task_id in (old, young):
        write(task_id, "attempt-2.mp4")
    sweep()
    assert journal.get(old) is None
    assert journal.get(young) is not None
    assert left(storage) == ["attempt-2.mp4"]
    assert path_of(storage, young, "attempt-2.mp4").exists()


@pytest.fixture
def unwritable(journal, monkeypatch):
    """The journal, on a disk that is full."""

    def refuse(_task_id):
        raise StorageFull

    monkeypatch.setattr(journal, "delete", refuse)
    return journal


def test_a_full_disk_is_freed_although_nothing_can_be_written_down(unwritable, storage, sweep, write):
    write(completed(unwritable, 7 * DAY + 1), "attempt-2.mp4")
    write(completed(unwritable, HOUR + 1), "attempt-2.mp4")
    write(add(unwritable, status=TaskStatus.FAILED, finished_at=NOW), "attempt-1.mp4.part", age=0)
    write(str(uuid.uuid4()), "attempt-1.mp4")
    with pytest.raises(StorageFull):
        sweep()
    assert left(storage) == ["attempt-2.mp4", "audio_file", "reference_image"]


def test_files_that_cannot_be_removed_keep_no_others(journal, storage, sweep, write):
    ids = [completed(journal, 1) for _ in range(3)]
    for task_id in ids:
        write(task_id, "attempt-1.mp4", "attempt-2.mp4")
    stubborn = path_of(storage, ids[1], "attempt-1.mp4")
    stubborn.unlink()
    stubborn.mkdir()
    old = completed(journal, 7 * DAY + 1)
    sweep()
    assert [task_id for task_id in ids if path_of(storage, task_id, "attempt-1.mp4").exists()] == [ids[1]]
    assert journal.get(old) is None


def test_many_old_tasks_go_at_once(journal, sweep):
    for _ in range(450):
        journal.add(new_task(str(uuid.uuid4()), status=TaskStatus.FAILED, finished_at=1.0))
    sweep()
    assert journal.finished_before(NOW, 1000) == []


def test_uploads_go_before_the_video(journal, storage, sweep, write):
    write(completed(journal, HOUR + 1), "attempt-2.mp4")
    sweep()
    assert left(storage) == ["attempt-2.mp4"]


def test_fresh_uploads_stay(journal, storage, sweep, write):
    write(completed(journal, HOUR - 1), "attempt-2.mp4")
    sweep()
    assert left(storage) == ["attempt-2.mp4", "audio_file", "reference_image"]


def test_what_other_attempts_left_goes(journal, storage, sweep, write):
    write(completed(journal, 1), "attempt-1.mp4.part", "attempt-1.mp4", "attempt-2.mp4")
    write(add(journal, status=TaskStatus.FAILED, finished_at=NOW), "attempt-1.mp4.part", "attempt-3.mp4")
    sweep()
    assert [name for name in left(storage) if "attempt" in name] == ["attempt-2.mp4"]


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.PROCESSING])
def test_an_unfinished_task_keeps_everything(journal, storage, sweep, write, status):
    write(add(journal, status=status, attempt=2), "attempt-1.mp4.part", "attempt-2.mp4.part", age=30 * DAY)
    sweep()
    assert left(storage) == ["attempt-1.mp4.part", "attempt-2.mp4.part", "audio_file", "reference_image"]


def test_files_that_no_task_names_go(storage, sweep, write):
    write(str(uuid.uuid4()), "attempt-1.mp4")
    sweep()
    assert [*storage.root.glob("uploads/*"), *storage.root.glob("videos/*")] == []


def test_an_upload_that_is_just_received_stays(storage, sweep, write):
    write(str(uuid.uuid4()), age=60)
    sweep()
    assert left(storage) == ["audio_file", "reference_image"]


def test_what_is_no_task_s_is_not_ours(storage, sweep, write):
    write("holiday", "attempt-1.mp4", age=30 * DAY)
    sweep()
    assert left(storage) == ["attempt-1.mp4", "audio_file", "reference_image"]


def test_a_folder_without_anything_is_no_error(sweep):
    sweep()
