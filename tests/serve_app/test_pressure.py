"""More work than the service has room for: a clear no, and everything accepted is still there."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from models.params import GenerationParams
from serve_app.storage.local import LocalStorage
from serve_app.task import Task
from serve_app.tasks.journal import Journal
from tests.serve_app.stored import save_uploads
from tests.service import poll

# No node has so many: nothing is ever started.
NO_REPLICA = {"num_cpus": 4096, "min_replicas": 0, "max_replicas": 1}

# Made one after the other.
ONE_REPLICA = {"min_replicas": 1, "max_replicas": 1}


@pytest.fixture(scope="module")
def crowded(run_service, tmp_path_factory, astronaut_file, speech_file, ffmpeg):
    """A service in which 1,000 tasks wait, the maximum, for one that takes minutes; with their ids."""
    folder = tmp_path_factory.mktemp("crowded")
    ids = [str(uuid.uuid4()) for _ in range(1001)]
    journal = Journal(f"sqlite:///{folder}/data/tasks.db")
    for task_id in ids:
        large = GenerationParams(width=1024, height=1024, length=10_000)
        journal.add(Task(task_id, "preview", large, "cpu", time.time(), idempotency_key=task_id))
    journal.close()
    busy, *waiting = ids
    long_speech = folder / "long.wav"
    ffmpeg("-stream_loop", -1, "-i", speech_file, "-t", 400, long_speech)
    save_uploads(LocalStorage(folder / "data"), busy, astronaut_file.read_bytes(), long_speech.read_bytes())
    with run_service(folder, preview=ONE_REPLICA) as service:
        service.wait_for(busy, lambda task: task["frames_generated"] > 0)
        yield service, waiting, busy


@pytest.fixture
def full(run_service, ray_address, tmp_path):
    """A service on a disk without the room it wants."""
    with run_service(
        tmp_path, address=ray_address, until_ready=False, min_free_bytes=2**62, preview=NO_REPLICA
    ) as service:
        poll(lambda: _answers(service))
        yield service


@pytest.fixture
def files(astronaut_file, speech_file):
    return {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}


def test_a_full_disk_refuses_tasks_before_and_keeps_nothing(full, files):
    refused = full.http.post("/generate_video", files=files)
    assert (refused.status_code, refused.json()["error"]["type"]) == (507, "storage_full")
    assert list(full.folder.glob("data/uploads/*")) == []
    assert full.http.get("/tasks").json() == {"tasks": [], "next_cursor": None}


def test_every_waiting_task_tells_its_place_while_a_replica_is_busy(crowded):
    service, ids, busy = crowded
    before = service.task(busy)
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(service.http.get, (f"/task/{task_id}" for task_id in ids[::10])))
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["queue_position"] for answer in answers] == list(range(1, 1001, 10))
    after = service.wait_for(busy, lambda task: task["frames_generated"] > before["frames_generated"])
    assert after["status"] == "processing"
    health = service.http.get("/health").json()
    assert (health["pending"], health["processing"]) == (1000, 1)


def test_one_more_is_refused_with_the_time_to_come_again(crowded, files):
    service, _, busy = crowded
    refused = service.http.post("/generate_video", files=files)
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    assert [folder.name for folder in service.folder.glob("data/uploads/*")] == [busy]


def test_a_body_that_would_be_refused_is_not_read(crowded):
    service, _, _ = crowded
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused = service.http.post("/generate_video", content=b"no form at all", headers=headers)
    assert refused.status_code == 429


def test_there_is_room_again_when_a_task_is_cancelled(crowded, files):
    service, ids, _ = crowded
    service.http.post(f"/task/{ids.pop()}/cancel")
    accepted = service.http.post("/generate_video", files=files)
    assert accepted.status_code == 200
    ids.append(accepted.json()["task_id"])
    assert service.http.post("/generate_video", files=files).status_code == 429


def _answers(service):
    try:
        return service.http.get("/tasks").status_code == 200
    except httpx.TransportError:
        return False
