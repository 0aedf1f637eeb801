"""`make run` without make: told to end, it hands back what runs and ends everything, in time."""

import signal
import subprocess
import sys

import pytest

from serve_app.launcher import ROOT
from serve_app.task import TaskStatus
from serve_app.tasks.journal import Journal

# Two replicas from the start, so that two tasks run side by side.
REPLICAS = {"min_replicas": 2, "max_replicas": 2}


def submit_work(service, image, audio):
    """Two tasks that take long and two that wait for them; their ids."""
    # Longer than it takes until all that is to be interrupted has begun.
    large = [service.submit(image, audio, width=1024, height=1024, fps=60, length=240) for _ in range(2)]
    small = [service.submit(image, audio, width=128, height=128, length=24) for _ in range(2)]
    return large, small


def run_all(service, task_ids):
    """Wait until all of them have frames, and are not finished."""
    for task_id in task_ids:
        task = service.wait_for(task_id, lambda task: task["frames_generated"])
        assert task["status"] == "processing"


def in_journal(folder, task_ids):
    """Status, attempts and failures of these tasks, as a service left them."""
    journal = Journal(f"sqlite:///{folder / 'data' / 'tasks.db'}")
    tasks = [journal.get(task_id) for task_id in task_ids]
    journal.close()
    return [(task.status, task.attempt, task.failures) for task in tasks]


@pytest.mark.timeout(400)
def test_each_signal_ends_a_busy_service_in_ten_seconds_and_its_work_goes_on_with_the_next_start(
    run_launcher, tmp_path, astronaut_file, speech_file, slow_photo
):
    with run_launcher(tmp_path, signal.SIGINT, preview=REPLICAS) as service:
        large, small = submit_work(service, astronaut_file, speech_file)
        run_all(service, large)
        service.keep_an_ingress_busy(slow_photo, speech_file)
    assert service.process.returncode == 0
    assert in_journal(tmp_path, large) == [(TaskStatus.PENDING, 1, 0)] * 2
    assert in_journal(tmp_path, small) == [(TaskStatus.PENDING, 0, 0)] * 2

    with run_launcher(tmp_path, signal.SIGTERM, preview=REPLICAS) as service:
        run_all(service, large)
        service.keep_an_ingress_busy(slow_photo, speech_file)
    assert service.process.returncode == 0
    assert in_journal(tmp_path, large) == [(TaskStatus.PENDING, 2, 0)] * 2

    with run_launcher(tmp_path, preview=REPLICAS) as service:
        for task_id in (*large, *small):
            assert service.wait(task_id)["status"] == "completed"
    assert in_journal(tmp_path, large) == [(TaskStatus.COMPLETED, 3, 0)] * 2
    assert in_journal(tmp_path, small) == [(TaskStatus.COMPLETED, 1, 0)] * 2


def test_a_configuration_that_is_not_there_is_told_before_anything_starts():
    command = [sys.executable, "-m", "serve_app.launcher", "nowhere.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "there is no file" in done.stderr
    assert "nowhere.yaml" in done.stderr
