"""Replicas follow the queue: a cluster with two logical GPUs, engines pinned to one each."""

import sys
import time
from pathlib import Path

import pytest
import ray
from ray import serve

from tests.service import free_port, poll, run_service, started

TASKS = 8


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Ray node with two GPUs that exist in its books only; gives its address."""
    folder = tmp_path_factory.mktemp("cluster")
    port = free_port()
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-gpus=2"]
    command += [f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false"]
    command += [f"--ray-client-server-port={free_port()}", "--disable-usage-stats"]
    with started(command, folder / "ray.log") as process:
        address = f"127.0.0.1:{port}"
        poll(lambda: _connects(address, process), 60)
        yield address
        ray.shutdown()


def _connects(address, process):
    assert process.poll() is None
    try:
        ray.init(address, namespace="test", log_to_driver=False)
    except ConnectionError:
        return False
    return True


class Timeline:
    """What happened when, printed as it is seen."""

    def __init__(self):
        self._start = time.monotonic()
        self._seen = {}
        self.events = []

    def note(self, what, value):
        """Remember a value that is new."""
        if self._seen.get(what) != value:
            self._seen[what] = value
            self.events.append((time.monotonic() - self._start, what, value))
            print(f"{self.events[-1][0]:7.2f} s  {what}: {value}")

    def first(self, what, value):
        """Seconds from the start until this was seen."""
        return next(at for at, name, seen in self.events if (name, seen) == (what, value))


def replicas():
    """How many replicas of the preview engine are wanted, and how many work."""
    states = serve.status().applications["echomimic"].deployments["Preview"].replica_states
    counts = {str(state): count for state, count in states.items()}
    return counts.get("STARTING", 0) + counts.get("RUNNING", 0), counts.get("RUNNING", 0)


def watch(service, timeline, task_ids):
    """Note the replicas and the tasks once; true when every task is finished."""
    wanted, running = replicas()
    timeline.note("replicas asked for", wanted)
    timeline.note("replicas running", running)
    tasks = [service.task(task_id) for task_id in task_ids]
    for number, task in enumerate(tasks, 1):
        timeline.note(f"task {number}", task["status"])
    timeline.note("tasks at work", sum(task["status"] == "processing" for task in tasks))
    return all(task["status"] in ("completed", "failed") for task in tasks)


def run(service, astronaut_file, speech_file, min_replicas):
    """Send all tasks at once and watch them to the end, and the replicas until they fall back."""
    timeline = Timeline()
    task_ids = [service.submit(astronaut_file, speech_file, width=256, height=256) for _ in range(TASKS)]
    timeline.note("submitted", TASKS)
    poll(lambda: watch(service, timeline, task_ids), 240)
    poll(lambda: watch(service, timeline, task_ids) and replicas()[0] == min_replicas, 60)
    return timeline, [service.task(task_id) for task_id in task_ids]


@pytest.mark.parametrize("min_replicas", [1, 0])
@pytest.mark.timeout(600)
def test_eight_tasks_at_once_start_a_second_replica_and_end_in_order(
    cluster, tmp_path, astronaut_file, speech_file, min_replicas
):
    preview = {"min_replicas": min_replicas, "max_replicas": 2, "downscale_delay_s": 3}
    preview |= {"num_gpus": 1, "num_cpus": 0.1}
    with run_service(tmp_path, address=cluster, preview=preview) as service:
        poll(lambda: replicas()[0] == min_replicas)
        timeline, tasks = run(service, astronaut_file, speech_file, min_replicas)
        serve.shutdown()

    assert timeline.first("replicas asked for", 2) - timeline.first("submitted", TASKS) < 3
    assert timeline.first("tasks at work", 2)
    assert [task["status"] for task in tasks] == ["completed"] * TASKS
    assert [task["attempt"] for task in tasks] == [1] * TASKS
    starts = [task["started_at"] for task in tasks]
    assert starts == sorted(starts)
    assert timeline.first("replicas asked for", min_replicas) < timeline.events[-1][0]


@pytest.mark.timeout(300)
def test_a_replica_without_a_place_is_explained(cluster, tmp_path):
    with run_service(tmp_path, address=cluster, until_ready=False, preview={"num_gpus": 5}) as service:
        health = poll(lambda: _unready_preview(service))
        assert not health["ready"]
        assert "no replica can be placed: it needs 0.9 CPU and 5 GPU" in health["reason"]
        serve.shutdown()


def _unready_preview(service):
    try:
        health = service.http.get("/health").json()
    except Exception:
        return None
    return health if "preview" in health["engines"] else None
