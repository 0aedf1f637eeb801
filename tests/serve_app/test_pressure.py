"""More work than the service has room for: a clear no, and everything accepted is still there."""

import time
import uuid

import httpx
import pytest

from models.params import GenerationParams
from serve_app.task import Task
from serve_app.task_store import TaskStore
from tests.service import poll, run_service

# No node has so many: nothing is ever started.
NO_REPLICA = {"num_cpus": 4096, "min_replicas": 0, "max_replicas": 1}


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """A service in which 1,000 tasks wait, as many as may; with their ids."""
    folder = tmp_path_factory.mktemp("crowded")
    ids = [str(uuid.uuid4()) for _ in range(1000)]
    store = TaskStore(f"sqlite:///{folder}/data/tasks.db")
    for task_id in ids:
        store.add(Task(task_id, "preview", GenerationParams(), "cpu", time.time(), idempotency_key=task_id))
    store.close()
    with run_service(folder, until_ready=False, preview=NO_REPLICA) as service:
        poll(lambda: _answers(service))
        yield service, ids


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A service on a disk without the room it wants."""
    folder = tmp_path_factory.mktemp("full")
    with run_service(folder, until_ready=False, min_free_bytes=2**62, preview=NO_REPLICA) as service:
        poll(lambda: _answers(service))
        yield service


@pytest.fixture
def files(astronaut_file, speech_file):
    return {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}


def test_every_waiting_task_tells_its_place(crowded):
    service, ids = crowded
    for place in (1, 500, 1000):
        assert service.task(ids[place - 1])["queue_position"] == place
    assert service.http.get("/health").json()["pending"] == 1000


def test_one_more_is_refused_with_the_time_to_come_again(crowded, files):
    service, _ = crowded
    refused = service.http.post("/generate_video", files=files)
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    assert list(service.folder.glob("data/uploads/*")) == []


def test_a_body_that_would_be_refused_is_not_read(crowded):
    service, _ = crowded
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused = service.http.post("/generate_video", content=b"no form at all", headers=headers)
    assert refused.status_code == 429


def test_there_is_room_again_when_a_task_is_cancelled(crowded, files):
    service, ids = crowded
    service.http.post(f"/task/{ids.pop()}/cancel")
    accepted = service.http.post("/generate_video", files=files)
    assert accepted.status_code == 200
    ids.append(accepted.json()["task_id"])
    assert service.http.post("/generate_video", files=files).status_code == 429


def test_a_full_disk_refuses_tasks_before_and_keeps_nothing(full, files):
    refused = full.http.post("/generate_video", files=files)
    assert (refused.status_code, refused.json()["error"]["type"]) == (507, "storage_full")
    assert list(full.folder.glob("data/uploads/*")) == []
    assert full.http.get("/tasks").json() == {"tasks": [], "next_cursor": None}


def _answers(service):
    try:
        return service.http.get("/tasks").status_code == 200
    except httpx.TransportError:
        return False
