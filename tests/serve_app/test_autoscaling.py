"""Replicas follow the queue: a cluster with two logical GPUs, engines pinned to one each."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray
from ray import serve

from tests.service import poll

TASKS = 8


@pytest.fixture
def cluster(ray_address):
    """The cluster, to which this process is connected."""
    ray.init(ray_address, namespace="test", log_to_driver=False)
    yield ray_address
    serve.shutdown()  # it has ended, but its client in this process has not noticed
    ray.shutdown()


class Timeline:
    """What happened when, printed as it is seen."""

    def __init__(self):
        self._start = time.monotonic()
        self.latest = {}
        self.events = []

    def note(self, what, value):
        """Remember a value that is new."""
        if self.latest.get(what) != value:
            self.latest[what] = value
            self.events.append((time.monotonic() - self._start, what, value))
            print(f"{self.events[-1][0]:7.2f} s  {what}: {value}")

    def first(self, what, value):
        """Seconds from the start until this was seen; None if it never was."""
        seen = (at for at, name, noted in self.events if (name, noted) == (what, value))
        return next(seen, None)


def look(service, timeline, task_ids):
    """Note the replicas and the tasks as they are now; gives the statuses."""
    states = serve.status().applications["echomimic"].deployments["Preview"].replica_states
    counts = {str(state): count for state, count in states.items()}
    timeline.note("replicas asked for", counts.get("STARTING", 0) + counts.get("RUNNING", 0))
    timeline.note("replicas running", counts.get("RUNNING", 0))
    statuses = [service.task(task_id)["status"] for task_id in task_ids]
    for number, status in enumerate(statuses, 1):
        timeline.note(f"task {number}", status)
    timeline.note("tasks at work", statuses.count("processing"))
    return statuses


def watch(service, image, audio, min_replicas):
    """Send all tasks, one after the other without waiting, and watch until the replicas fall back."""
    timeline, task_ids = Timeline(), []

    def send_all():
        for _ in range(TASKS):
            # Together they take longer than a second replica takes to start.
            task_ids.append(service.submit(image, audio, width=512, height=512, fps=30))
            timeline.note("tasks accepted", len(task_ids))

    def settled():
        statuses = look(service, timeline, list(task_ids))
        finished = len(statuses) == TASKS and set(statuses) <= {"completed", "failed"}
        return finished and timeline.latest["replicas asked for"] == min_replicas

    with ThreadPoolExecutor(max_workers=1) as sender:
        sending = sender.submit(send_all)
        poll(settled, 240)
        sending.result()
    return timeline, [service.task(task_id) for task_id in task_ids]


@pytest.mark.parametrize("min_replicas", [1, 0])
@pytest.mark.timeout(600)
def test_eight_tasks_at_once_start_a_second_replica_and_end_in_order(
    run_service, cluster, tmp_path, astronaut_file, speech_file, min_replicas, capsys
):
    preview = {"min_replicas": min_replicas, "max_replicas": 2, "downscale_delay_s": 3}
    preview |= {"num_gpus": 1, "num_cpus": 0.1}
    with run_service(tmp_path, address=cluster, preview=preview) as service, capsys.disabled():
        print(f"\n{TASKS} tasks, from {min_replicas} replicas:")
        timeline, tasks = watch(service, astronaut_file, speech_file, min_replicas)

    # From zero, Serve asks for a single replica first, and for more once that one runs.
    second_is_due = ("tasks accepted", 2) if min_replicas else ("replicas running", 1)
    assert timeline.first("replicas asked for", 1) - timeline.first("tasks accepted", 1) < 3
    assert timeline.first("replicas asked for", 2) - timeline.first(*second_is_due) < 3
    assert timeline.first("tasks at work", 2)
    assert [task["status"] for task in tasks] == ["completed"] * TASKS
    assert [task["attempt"] for task in tasks] == [1] * TASKS
    starts = [task["started_at"] for task in tasks]
    assert starts == sorted(starts)


@pytest.mark.timeout(400)
def test_a_service_that_is_started_again_on_a_living_cluster_works(
    run_service, ray_address, tmp_path, astronaut_file, speech_file
):
    for _ in range(2):
        with run_service(tmp_path, address=ray_address) as service:
            task = service.wait(service.submit(astronaut_file, speech_file, length=24))
            assert task["status"] == "completed"


@pytest.mark.timeout(300)
def test_a_replica_without_a_place_is_explained(run_launcher, tmp_path):
    # By the launcher, which does not wait for Serve, which waits half a minute for such a replica to end.
    with run_launcher(tmp_path, until_ready=False, preview={"num_gpus": 5}) as service:
        health = poll(lambda: _unready_preview(service))
        assert not health["ready"]
        assert "no replica can be placed: it needs 0.9 CPU and 5 GPU" in health["reason"]


def _unready_preview(service):
    try:
        health = service.http.get("/health").json()
    except Exception:
        return None
    return health if "preview" in health["engines"] else None
