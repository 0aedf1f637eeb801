"""Processes die while a video is made; the task does not."""

import pytest

from serve_app.tasks.journal import Journal
from tests.fuzz.uploads import Watch
from tests.postgres import run_postgres
from tests.service import poll


@pytest.fixture
def running_task(service, astronaut_file, speech_file):
    """A task in the middle of its frames."""
    task_id = service.submit(astronaut_file, speech_file, width=1024, height=1024)
    service.wait_for(task_id, lambda task: task["frames_generated"] > 0)
    return task_id


def test_a_task_whose_replica_is_killed_is_made_by_another(service, running_task):
    for replica in service.processes("ServeReplica:echomimic:Preview"):
        replica.kill()
    task = service.wait(running_task)
    assert (task["status"], task["attempt"], task["error"]) == ("completed", 2, None)
    assert task["frames_generated"] == task["frames_requested"]


def test_a_task_outlives_the_manager_without_being_made_twice(service, running_task):
    watch = Watch(service)
    (manager,) = service.processes("TaskManagerActor")
    manager.kill()
    task = service.wait(running_task)
    assert (task["status"], task["attempt"], task["error"]) == ("completed", 1, None)
    assert "a process of TaskManagerActor died" in watch.complaints()


def test_a_waiting_task_outlives_the_manager(service, running_task, astronaut_file, speech_file):
    # One for the second replica, and one that has to wait for either.
    service.submit(astronaut_file, speech_file, width=1024, height=1024)
    waiting = service.submit(astronaut_file, speech_file, width=128, height=128)
    (manager,) = service.processes("TaskManagerActor")
    manager.kill()
    assert service.wait(waiting)["status"] == "completed"
    assert service.wait(running_task)["status"] == "completed"


def test_a_manager_that_died_without_its_database_starts_when_it_is_back(
    run_service, tmp_path, postgres_programs, astronaut_file, speech_file
):
    with run_postgres(postgres_programs) as database:
        one_replica = {"max_replicas": 1}
        with run_service(tmp_path, database_url=database.url, preview=one_replica) as service:
            ids = [service.submit(astronaut_file, speech_file, width=512, length=75) for _ in range(2)]
            service.wait_for(ids[0], lambda task: task["frames_generated"] > 0)
            database.stop()
            (manager,) = service.processes("TaskManagerActor")
            manager.kill()
            refused = poll(lambda: _refusal(service, "cannot start"))
            database.start()
            # Nobody asks the service, and it recovers all the same.
            tasks = poll(lambda: _finished(database.url, ids))
    assert "Traceback" not in refused
    assert [(task.status.value, task.attempt) for task in tasks] == [("completed", 1)] * 2


# On PostgreSQL alone, which is where clusters meet; what they owe to the journal is tested on both.
@pytest.mark.timeout(400)
def test_a_second_cluster_takes_over_from_the_first(
    run_service, tmp_path, new_database, astronaut_file, speech_file
):
    journal_url = new_database()
    shared = {"data_dir": str(tmp_path / "data"), "database_url": journal_url}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with run_service(tmp_path / "first", **shared, preview={"max_replicas": 1}) as first:
        ids = [first.submit(astronaut_file, speech_file, width=1024, height=1024) for _ in range(6)]
        with run_service(tmp_path / "second", **shared) as second:
            tasks = [second.wait(task_id) for task_id in ids]

            def submit_to_the_first():
                late = first.submit(astronaut_file, speech_file, length=2)
                assert second.wait(late)["status"] == "completed"
                return late

            # The first notices the second within a second or so, and hands out work until then.
            late = poll(lambda: _unless_made_by(journal_url, ids[0], submit_to_the_first()))
        assert first.task(late)["status"] == "completed"
    assert [(task["status"], task["attempt"]) for task in tasks] == [("completed", 1)] * 6


def test_a_wrong_builder_argument_is_named(run_service, ray_address, tmp_path):
    with run_service(tmp_path, address=ray_address, until_ready=False, preview={"max_replica": 3}) as service:
        log = poll(lambda: _log_naming(service, "preview.max_replica"))
    assert "Extra inputs are not permitted" in log


def _refusal(service, words):
    """The text of a 503 with these words."""
    response = service.http.get("/tasks")
    return response.text if response.status_code == 503 and words in response.text else None


def _finished(journal_url, ids):
    """The tasks, once all of them are finished."""
    journal = Journal(journal_url)
    tasks = [journal.get(task_id) for task_id in ids]
    journal.close()
    return tasks if all(task.status.final for task in tasks) else None


def _unless_made_by(journal_url, earlier, task_id):
    """The task's id, if another manager handed it out than the earlier one."""
    journal = Journal(journal_url)
    holders = [journal.get(name).holder for name in (earlier, task_id)]
    journal.close()
    return task_id if holders[0] != holders[1] else None


def _log_naming(service, argument):
    text = (service.folder / "serve.log").read_text()
    return text if argument in text else None
