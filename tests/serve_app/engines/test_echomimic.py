"""EchoMimic behind the real service: its small sibling, with made-up weights, on the CPU."""

import pytest
from standardwebhooks import Webhook

from tests.labels import shows_label
from tests.service import poll

pytest.importorskip("torch")

# A window of 12 frames at 128² takes the small network some tenths of a second.
SMALL = {"width": 128, "height": 128, "length": 24, "steps": 4}


@pytest.fixture(scope="module")
def diffusion(run_service, tmp_path_factory, weights):
    """A service whose default engine is the small EchoMimic, with the preview scaled to zero."""
    echomimic = {"preset": "tiny", "weights_dir": str(weights), "num_gpus": 0, "num_cpus": 0.8}
    folder = tmp_path_factory.mktemp("diffusion")
    preview = {"min_replicas": 0, "num_cpus": 0.8}
    with run_service(folder, echomimic=echomimic, preview=preview, allow_private_webhooks=True) as running:
        yield running


def test_a_task_goes_from_request_over_progress_to_a_video(
    diffusion, astronaut_file, speech_file, tmp_path, decoded_frames
):
    task_id = diffusion.submit(astronaut_file, speech_file, **SMALL, label="corner")
    looks = []

    def look():
        looks.append(diffusion.task(task_id))
        return looks[-1]["status"] in ("completed", "failed")

    poll(look, interval_s=0.05)
    task = looks[-1]
    assert (task["status"], task["error"]) == ("completed", None)
    assert (task["engine"], task["device"], task["attempt"]) == ("echomimic", "cpu", 1)
    assert task["frames_generated"] == task["frames_requested"] == 24
    progress = [look["progress"] for look in looks]
    assert progress == sorted(progress)
    assert len({share for share in progress if 0 < share < 1}) >= 3
    video = tmp_path / "video.mp4"
    video.write_bytes(diffusion.http.get(f"/download/{task_id}").content)
    frames = decoded_frames(video, 128, 128)
    assert frames.shape == (24, 128, 128, 3)
    assert all(shows_label(frame) for frame in frames)


def test_two_tasks_in_a_row_are_made_by_the_same_replica(diffusion, astronaut_file, speech_file):
    tasks = [diffusion.submit(astronaut_file, speech_file, **SMALL, seed=seed) for seed in (1, 2)]
    first, second = (diffusion.wait(task) for task in tasks)
    assert [first["status"], second["status"]] == ["completed", "completed"]
    assert first["finished_at"] <= second["started_at"]
    videos = [diffusion.http.get(f"/download/{task}").content for task in tasks]
    assert videos[0] != videos[1]


def test_a_task_can_be_cancelled_in_the_middle_of_its_diffusion(diffusion, astronaut_file, speech_file):
    # So many steps that it would go on for minutes.
    long = diffusion.submit(astronaut_file, speech_file, **{**SMALL, "steps": 100, "length": 120})
    started = diffusion.wait_for(long, lambda task: task["stage"] == "generating" and task["progress"] > 0.06)
    assert started["progress"] < 0.5
    answer = diffusion.http.delete(f"/task/{long}").json()
    assert (answer["status"], answer["error"], answer["cancelled"]) == ("failed", "cancelled", True)
    assert answer["frames_generated"] == 0
    # The replica is free again, and as good as new.
    after = diffusion.wait(diffusion.submit(astronaut_file, speech_file, **SMALL))
    assert (after["status"], after["attempt"]) == ("completed", 1)
    assert diffusion.http.get(f"/download/{long}").status_code == 409


def test_the_end_of_a_task_is_told_to_its_webhook(diffusion, astronaut_file, speech_file, receiver):
    task_id = diffusion.submit(astronaut_file, speech_file, **SMALL, webhook_url=f"{receiver.url}/hook")
    ((path, headers, body),) = poll(lambda: receiver.received)
    assert (path, headers["webhook-id"]) == ("/hook", f"msg_{task_id}")
    secret = (diffusion.folder / "data" / "webhook_secret").read_text().strip()
    message = Webhook(secret).verify(body, headers)
    assert message["type"] == "task.completed"
    assert message["data"] == diffusion.task(task_id)


def test_health_names_the_engine_and_both_deployments(diffusion):
    health = diffusion.http.get("/health").json()
    assert (health["ready"], health["engine"]) == (True, "echomimic")
    assert health["engines"]["echomimic"]["replicas"] == 1
    assert health["engines"]["preview"]["ready"]


def test_a_quick_draft_can_be_asked_for(diffusion, astronaut_file, speech_file):
    task = diffusion.wait(diffusion.submit(astronaut_file, speech_file, engine="preview", length=12))
    assert (task["status"], task["engine"]) == ("completed", "preview")


def test_a_face_is_no_condition(diffusion, nobody_file, speech_file):
    task = diffusion.wait(diffusion.submit(nobody_file, speech_file, **{**SMALL, "length": 6}))
    assert task["status"] == "completed"
    assert any("no face" in warning for warning in task["warnings"])
