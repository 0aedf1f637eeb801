"""The REST contract, spoken to the running service over HTTP."""

import contextlib
import http.client
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from fastapi.testclient import TestClient

from serve_app.api.application import create_api
from serve_app.cluster.proxy_headers import READ_BY_SERVE
from serve_app.engines.choice import EngineChoice
from serve_app.engines.registry import ENGINES, deployments
from serve_app.errors import JournalUnavailable, ManagerUnavailable, StorageFull
from serve_app.settings import Settings
from serve_app.storage.local import LocalStorage
from serve_app.task import TaskStatus
from serve_app.tasks.manager_client import ManagerClient
from serve_app.tasks.overview import Overview
from tests.labels import shows_label
from tests.serve_app.local_api import local_api
from tests.serve_app.managers import ManagerHere, new_manager
from tests.serve_app.new_tasks import new_task, report_of
from tests.serve_app.stored import publish_video, save_uploads
from tests.service import poll


@pytest.fixture(scope="module")
def finished(service, astronaut_file, speech_file):
    """A task that was completed: the first two seconds, small, with a label."""
    fields = {"width": 256, "height": 256, "length": 48, "seed": 7, "label": "corner"}
    task_id = service.submit(astronaut_file, speech_file, **fields)
    return service.wait(task_id)


@pytest.fixture
def busy(service, astronaut_file, speech_file):
    """Two large tasks, one for each replica, behind which others wait."""
    return [service.submit(astronaut_file, speech_file, width=1024, height=1024) for _ in range(2)]


@pytest.fixture
def post(service, astronaut_file, speech_file):
    """Sends the form with other files or fields than the good ones; None leaves a file out."""

    def send(fields=None, headers=None, **files):
        good = {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}
        sent = {name: content for name, content in {**good, **files}.items() if content is not None}
        return service.http.post("/generate_video", files=sent, data=fields or {}, headers=headers)

    return send


def assert_error(response, status_code, kind, field=None):
    assert response.status_code == status_code, response.text
    body = response.json()
    assert body["error"]["type"] == kind
    assert body["error"].get("field") == field
    assert body["detail"] == body["error"]["message"] != ""
    return body["error"]


def client_of(manager, **settings):
    """A client of an API that runs in this process, with this way to a manager."""
    api = create_api(Settings(**settings), EngineChoice("preview", {"echomimic": "no weights"}), manager)
    return TestClient(api, base_url="http://127.0.0.1")


class TestGenerateVideo:
    def test_the_answer_has_the_two_fields_of_the_contract(self, post):
        response = post({"length": "2"})
        assert response.status_code == 200
        assert set(response.json()) == {"task_id", "status"}
        assert response.json()["status"] == "pending"
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", response.json()["task_id"])

    def test_all_thirteen_parameters_are_taken_and_shown(self, service, post):
        fields = {
            "width": 192, "height": 128, "length": 4, "seed": 2**32 - 1, "facemask_dilation_ratio": 0.2,
            "facecrop_dilation_ratio": 0.7, "context_frames": 10, "context_overlap": 2, "cfg": 2.5,
            "steps": 10, "sample_rate": 44100, "fps": 12, "device": "cpu",
        }  # fmt: skip
        response = post({name: str(value) for name, value in fields.items()})
        assert response.status_code == 200, response.text
        task = service.wait(response.json()["task_id"])
        assert task["status"] == "completed"
        shown = {name: task[name] for name in ("width", "height", "fps", "seed")}
        assert shown == {"width": 192, "height": 128, "fps": 12, "seed": 2**32 - 1}
        assert task["frames_requested"] == task["frames_generated"] == 4
        # The right device was asked for; the square crop is stretched, and the audio is longer.
        assert not any("device" in warning for warning in task["warnings"])

    def test_a_rate_of_ntsc_and_the_length_of_the_whole_audio_are_those_of_the_video(
        self, service, post, tmp_path, stream_info
    ):
        fields = {"width": "128", "height": "128", "fps": "30000/1001", "length": "0"}
        task = service.wait(post(fields).json()["task_id"])
        assert (task["fps"], task["frames_generated"]) == (29.97, 193)
        assert not any("cut" in warning for warning in task["warnings"])
        video = tmp_path / "video.mp4"
        video.write_bytes(service.http.get(task["download_url"]).content)
        assert "29.97 fps, 29.97 tbr, 30k tbn" in stream_info(video)

    def test_a_random_seed_is_drawn_and_told(self, service, post):
        seeds = {
            service.task(post({"seed": "-1", "length": "2"}).json()["task_id"])["seed"] for _ in range(2)
        }
        assert len(seeds) == 2
        assert all(0 <= seed < 2**32 for seed in seeds)

    def test_an_unknown_field_is_ignored_but_mentioned(self, service, post):
        task = service.task(post({"lenght": "2", "length": "2"}).json()["task_id"])
        assert "unknown field 'lenght' was ignored" in task["warnings"]

    def test_an_engine_that_is_not_deployed_is_refused_with_the_reason(self, post):
        error = assert_error(post({"engine": "echomimic"}), 422, "invalid_request", "engine")
        assert error["allowed"] == "preview"
        assert "weights are missing" in error["message"]

    def test_a_webhook_to_this_machine_is_refused(self, post):
        error = assert_error(
            post({"webhook_url": "http://127.0.0.1/"}), 422, "invalid_request", "webhook_url"
        )
        assert "127.0.0.1" in error["message"]

    @pytest.mark.parametrize("missing", ["reference_image", "audio_file"])
    def test_a_missing_file_is_named(self, post, missing):
        assert_error(post(**{missing: None}), 422, "invalid_request", missing)

    @pytest.mark.parametrize("field", ["reference_image", "audio_file"])
    @pytest.mark.parametrize("content", [b"", b"neither a picture nor a sound"], ids=["empty", "text"])
    def test_a_file_that_is_no_picture_or_sound_is_refused_at_once(self, post, field, content):
        assert_error(post(**{field: content}), 422, "invalid_request", field)

    def test_files_in_each_other_s_place_are_refused(self, post, astronaut_file, speech_file):
        assert_error(
            post(reference_image=speech_file.read_bytes()), 422, "invalid_request", "reference_image"
        )
        assert_error(post(audio_file=astronaut_file.read_bytes()), 422, "invalid_request", "audio_file")

    def test_a_text_instead_of_a_file_is_refused(self, service, speech_file):
        response = service.http.post(
            "/generate_video",
            files={"audio_file": speech_file.read_bytes()},
            data={"reference_image": "me.png"},
        )
        error = assert_error(response, 422, "invalid_request", "reference_image")
        assert error["message"] == "reference_image must be sent as a file"

    @pytest.mark.parametrize(
        ("field", "values"),
        {
            "width": ["120", "1032", "130", "abc", "nan", "512.5"],
            "height": ["120", "1032", "130"],
            "length": ["1", "-1", "-5", "5001"],
            "seed": ["-2", "4294967296", "1e3"],
            "facemask_dilation_ratio": ["-0.1", "1.1", "nan", "inf"],
            "facecrop_dilation_ratio": ["-0.1", "1.1", "-inf"],
            "context_frames": ["0", "33", "50"],
            "context_overlap": ["-1", "11", "12"],
            "cfg": ["-1", "10.5", "NaN", "Infinity"],
            "steps": ["0", "101"],
            "sample_rate": ["7999", "48001"],
            "fps": [
                "0",
                "61",
                "0.5",
                "60.1",
                "61000/1001",
                "1/0",
                "25/",
                "-24",
                "1e1",
                "24,5",
                "nan",
                "２４",
            ],
            "device": ["tpu", "CUDA"],
            "label": ["always", "None"],
            "consent": ["maybe", "2"],
            "priority": ["-101", "101", "1.5", "high"],
        }.items(),
    )
    def test_a_value_outside_the_contract_is_named_with_what_is_allowed(self, post, field, values):
        for value in values:
            error = assert_error(post({field: value}), 422, "invalid_request", field)
            assert repr(value) in error["message"]
            assert error["allowed"]

    def test_an_empty_field_counts_as_not_given(self, service, post):
        task_id = post({"width": "", "seed": "", "length": "2"}).json()["task_id"]
        assert (service.task(task_id)["width"], service.task(task_id)["seed"]) == (512, 420)

    def test_an_overlap_as_long_as_the_window_is_refused_even_by_default(self, post):
        assert_error(post({"context_frames": "3"}), 422, "invalid_request", "context_overlap")

    def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(self, service):
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        connection.putrequest("POST", "/generate_video")
        connection.putheader("Content-Type", "multipart/form-data; boundary=x")
        connection.putheader("Content-Length", str(9 * 1024 * 1024))
        connection.endheaders()
        response = connection.getresponse()
        assert response.status == 413
        assert json.loads(response.read())["error"]["type"] == "body_too_large"
        connection.close()

    def test_a_chunked_body_over_the_limit_is_refused(self, service):
        def chunks():
            yield b'--x\r\nContent-Disposition: form-data; name="audio_file"; filename="a"\r\n\r\n'
            for _ in range(9):
                yield bytes(1024 * 1024)
            yield b"\r\n--x--\r\n"

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        response = service.http.post("/generate_video", content=chunks(), headers=headers)
        assert_error(response, 413, "body_too_large")

    @pytest.mark.parametrize("protocol", ["h2c", "TLS/1.2", "websocket", "websocket, h2c"])
    def test_an_offer_of_another_protocol_is_ignored(self, service, astronaut_file, speech_file, protocol):
        files = {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}
        form = httpx.Request("POST", service.url, files=files, data={"length": "2"})
        offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": protocol, "HTTP2-Settings": "AAMAAABk"}
        # Unlike httpx, it lets the caller say what becomes of the connection.
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        ) as connection:
            connection.request("POST", "/generate_video", form.read(), dict(form.headers) | offer)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["status"]) == (200, "pending")
            connection.request("GET", "/health", headers=offer)
            assert json.loads(connection.getresponse().read())["alive"]

    def test_a_broken_form_is_refused(self, service):
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        response = service.http.post("/generate_video", content=b"--x\r\nno header\r\n", headers=headers)
        assert_error(response, 400, "bad_request")

    def test_refused_uploads_leave_nothing_behind(self, service, post):
        uploads = service.folder / "data" / "uploads"
        assert post({"length": "2"}).status_code == 200
        before = set(uploads.iterdir())
        post(audio_file=b"no sound")
        post(reference_image=b"no picture")
        assert set(uploads.iterdir()) == before

    def test_a_client_that_hangs_up_leaves_a_task_or_nothing(self, service, astronaut_file, speech_file):
        uploads = service.folder / "data" / "uploads"
        for _ in range(5):
            with contextlib.suppress(httpx.TimeoutException):
                impatient = httpx.Timeout(60, read=0.02)
                with astronaut_file.open("rb") as image, speech_file.open("rb") as audio:
                    files = {"reference_image": image, "audio_file": audio}
                    httpx.post(f"{service.url}/generate_video", files=files, timeout=impatient)

        def is_task(folder):
            return "status" in service.task(folder.name) and len(list(folder.iterdir())) == 2

        poll(lambda: all(is_task(folder) for folder in uploads.iterdir()))
        for folder in uploads.iterdir():
            assert service.wait(folder.name)["status"] in ("completed", "failed")


class TestIdempotencyKey:
    @pytest.fixture
    def send(self, post):
        """Sends a request with a key of the test's own."""
        key = str(uuid.uuid4())

        def send(fields=None, **files):
            return post({"length": "2", **(fields or {})}, {"Idempotency-Key": key}, **files)

        return send

    def test_the_same_request_gives_the_same_task(self, service, send):
        first = send().json()["task_id"]
        assert send().json()["task_id"] == first
        service.wait(first)
        again = send()
        assert (again.status_code, again.json()) == (200, {"task_id": first, "status": "completed"})

    def test_a_repeated_upload_is_not_kept(self, service, send):
        send()
        before = set((service.folder / "data" / "uploads").iterdir())
        send()
        assert set((service.folder / "data" / "uploads").iterdir()) == before

    def test_another_request_with_the_key_is_refused(self, send, nobody_file, speech_file):
        assert send().status_code == 200
        assert_error(send({"seed": "7"}), 422, "idempotency_key_reused", "Idempotency-Key")
        other_image = send(reference_image=nobody_file.read_bytes())
        assert_error(other_image, 422, "idempotency_key_reused", "Idempotency-Key")
        other_sound = send(audio_file=speech_file.read_bytes()[:100_000])
        assert_error(other_sound, 422, "idempotency_key_reused", "Idempotency-Key")

    def test_two_requests_at_once_give_one_task(self, send):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: send(), range(4)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["task_id"] for answer in answers}) == 1

    def test_a_key_that_is_too_long_is_refused(self, post):
        refused = post({"length": "2"}, {"Idempotency-Key": "k" * 256})
        assert_error(refused, 422, "invalid_request", "Idempotency-Key")


class TestTask:
    def test_the_four_fields_of_the_contract_come_first(self, finished):
        assert list(finished)[:4] == ["task_id", "status", "output_file", "error"]
        assert finished["status"] == "completed"
        assert finished["output_file"] == f"output/videos/{finished['task_id']}_with_audio.mp4"
        assert finished["error"] is None

    def test_a_finished_task_tells_how_its_video_was_made(self, finished):
        assert (finished["engine"], finished["device"]) == ("preview", "cpu")
        assert (finished["width"], finished["height"], finished["fps"], finished["seed"]) == (256, 256, 24, 7)
        assert finished["frames_requested"] == finished["frames_generated"] == 48
        assert finished["audio_seconds"] == pytest.approx(6.4, abs=0.1)
        assert finished["progress"] == 1
        assert finished["attempt"] == 1
        assert finished["created_at"] <= finished["started_at"] <= finished["finished_at"]
        assert finished["finished_at"].endswith("Z")

    def test_nothing_is_cut_or_replaced_silently(self, finished):
        warnings = " | ".join(finished["warnings"])
        assert "device 'cuda' was asked for; the preview engine ran on 'cpu'" in warnings
        assert "cut to 2.0 s because length is 48 frames" in warnings

    def test_the_way_of_a_task_is_seen_from_outside(self, service, astronaut_file, speech_file):
        task_id = service.submit(astronaut_file, speech_file)
        seen = []

        def look(task):
            seen.append((task["stage"], task["progress"], task["frames_generated"]))
            return task["status"] in ("completed", "failed")

        service.wait_for(task_id, look)
        assert [progress for _, progress, _ in seen] == sorted(progress for _, progress, _ in seen)
        assert "generating" in {stage for stage, _, _ in seen}
        assert any(0 < frames < 150 for _, _, frames in seen)

    def test_a_waiting_task_tells_its_place(self, service, busy, astronaut_file, speech_file):
        small = [service.submit(astronaut_file, speech_file, width=128, height=128) for _ in range(2)]
        ids = [*busy, *small]
        # All in one answer: between two, a task ahead may have ended.
        listed = {task["task_id"]: task for task in service.http.get("/tasks").json()["tasks"]}
        waiting = [place for task_id in ids if (place := listed[task_id]["queue_position"]) is not None]
        assert waiting
        assert waiting == list(range(1, 1 + len(waiting)))
        assert [service.wait(task_id)["status"] for task_id in ids] == ["completed"] * 4

    def test_no_face_fails_the_task_with_advice(self, service, nobody_file, speech_file):
        task = service.wait(service.submit(nobody_file, speech_file))
        assert task["status"] == "failed"
        assert task["error"].startswith("reference_image: ")
        assert "no face was found" in task["error"]
        assert task["output_file"] is None
        assert task["attempt"] == 1

    def test_too_short_an_audio_fails_the_task_with_what_is_needed(
        self, service, astronaut_file, speech_file
    ):
        short = service.folder / "short.wav"
        short.write_bytes(speech_file.read_bytes()[: 44 + 2 * 500])  # header and 500 samples
        task = service.wait(service.submit(astronaut_file, short))
        assert task["status"] == "failed"
        assert task["error"].startswith("audio_file: ")
        assert "lasts 0.023 s" in task["error"]
        assert "at least 0.043 s" in task["error"]

    def test_an_unknown_task_is_404_everywhere(self, service):
        for path in ("/task/nobody", "/download/nobody"):
            assert_error(service.http.get(path), 404, "task_not_found", "task_id")


class TestDownload:
    def test_the_video_has_the_promised_size_and_sound(
        self, service, finished, tmp_path, decoded_frames, decoded_sound, stream_info
    ):
        response = service.http.get(f"/download/{finished['task_id']}")
        assert response.headers["content-type"] == "video/mp4"
        video = tmp_path / "video.mp4"
        video.write_bytes(response.content)
        frames = decoded_frames(video, 256, 256)
        assert frames.shape == (48, 256, 256, 3)
        assert all(shows_label(frame) for frame in frames)
        assert abs(decoded_sound(video)).max() > 0.1
        assert "engine preview" in stream_info(video)
        assert f'"ProduceID":"{finished["task_id"]}"' in stream_info(video)

    def test_head_tells_the_size_without_the_video(self, service, finished):
        path = f"/download/{finished['task_id']}"
        head = service.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(service.http.get(path).content)

    def test_a_range_is_delivered_alone(self, service, finished):
        path = f"/download/{finished['task_id']}"
        whole = service.http.get(path).content
        part = service.http.get(path, headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, whole[100:200])
        assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"

    def test_a_range_beyond_the_end_is_416(self, service, finished):
        response = service.http.get(f"/download/{finished['task_id']}", headers={"Range": "bytes=99999999-"})
        assert_error(response, 416, "requested_range_not_satisfiable")
        assert response.headers["content-range"].startswith("bytes */")

    def test_a_range_that_means_nothing_is_400(self, service, finished):
        response = service.http.get(f"/download/{finished['task_id']}", headers={"Range": "bytes=a-b"})
        assert_error(response, 400, "bad_request")

    def test_a_video_that_the_client_has_is_not_sent_again(self, service, finished):
        path = f"/download/{finished['task_id']}/"
        tag = service.http.head(path).headers["etag"]
        answer = service.http.get(path, headers={"If-None-Match": f'"old", {tag}', "Range": "bytes=0-9"})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        part = service.http.get(path, headers={"If-Range": tag, "Range": "bytes=4-7,0-1,99999999-"})
        assert (part.status_code, part.headers["content-type"][:20]) == (206, "multipart/byteranges")
        assert b"\r\n\r\nftyp\r\n" in part.content

    def test_a_download_before_completion_is_409_with_the_status(self, service, astronaut_file, speech_file):
        task_id = service.submit(astronaut_file, speech_file)
        error = assert_error(service.http.get(f"/download/{task_id}"), 409, "task_not_finished", "task_id")
        assert "pending" in error["message"] or "processing" in error["message"]
        service.wait(task_id)

    def test_a_download_of_a_failed_task_is_409_with_its_error(self, service, nobody_file, speech_file):
        task_id = service.submit(nobody_file, speech_file)
        service.wait(task_id)
        error = assert_error(service.http.get(f"/download/{task_id}"), 409, "task_not_finished", "task_id")
        assert "failed" in error["message"]
        assert "no face was found" in error["message"]


class TestCancel:
    @pytest.fixture
    def running(self, service, astronaut_file, speech_file):
        """A task in the middle of its frames."""
        task_id = service.submit(astronaut_file, speech_file, width=1024, height=1024)
        service.wait_for(task_id, lambda task: task["frames_generated"] > 0)
        return task_id

    def test_a_running_task_is_failed_for_old_clients_and_cancelled_for_new_ones(self, service, running):
        answer = service.http.post(f"/task/{running}/cancel")
        assert answer.status_code == 200
        assert answer.json() == service.task(running)
        shown = {name: answer.json()[name] for name in ("status", "error", "cancelled", "output_file")}
        assert shown == {"status": "failed", "error": "cancelled", "cancelled": True, "output_file": None}
        error = assert_error(service.http.get(f"/download/{running}"), 409, "task_not_finished", "task_id")
        assert "cancelled" in error["message"]

    def test_its_replica_stops_and_leaves_no_video(self, service, running):
        service.http.post(f"/task/{running}/cancel")
        videos = service.folder / "data" / "videos" / running
        poll(lambda: not list(videos.iterdir()))
        assert service.task(running)["status"] == "failed"

    def test_a_pending_task_is_never_started(self, service, busy, astronaut_file, speech_file):
        ids = [*busy, *(service.submit(astronaut_file, speech_file, length=48) for _ in range(2))]
        cancelled = service.http.post(f"/task/{ids[-1]}/cancel").json()
        assert [service.wait(task_id)["status"] for task_id in ids] == [*["completed"] * 3, "failed"]
        assert service.task(ids[-1]) == cancelled
        assert cancelled["attempt"] == 0

    def test_cancelling_twice_gives_the_same_answer(self, service, running):
        first = service.http.post(f"/task/{running}/cancel")
        assert service.http.post(f"/task/{running}/cancel").json() == first.json()

    def test_a_finished_task_is_409_with_its_status(self, service, finished):
        response = service.http.post(f"/task/{finished['task_id']}/cancel")
        error = assert_error(response, 409, "task_finished", "task_id")
        assert "completed" in error["message"]

    def test_an_unknown_task_is_404(self, service):
        assert_error(service.http.post("/task/nobody/cancel"), 404, "task_not_found", "task_id")
        assert_error(service.http.delete("/task/nobody"), 404, "task_not_found", "task_id")

    def test_delete_cancels_what_is_not_finished(self, service, running):
        answer = service.http.delete(f"/task/{running}")
        assert (answer.status_code, answer.json()["cancelled"]) == (200, True)

    def test_delete_removes_a_finished_task_with_its_files(self, service, post):
        task_id = post({"length": "2"}).json()["task_id"]
        service.wait(task_id)
        answer = service.http.delete(f"/task/{task_id}")
        assert (answer.status_code, answer.content) == (204, b"")
        for path in (f"/task/{task_id}", f"/download/{task_id}"):
            assert_error(service.http.get(path), 404, "task_not_found", "task_id")
        assert list((service.folder / "data").glob(f"*/{task_id}")) == []


class TestDelete:
    """Without a replica, and with a manager that is called twice, as when its first answer got lost."""

    @pytest.fixture
    def manager(self, journal):
        return new_manager(journal)

    @pytest.fixture
    def storage(self, tmp_path):
        return LocalStorage(tmp_path / "data")

    @pytest.fixture
    def client(self, manager, storage):
        with client_of(ManagerHere(manager, times=2), data_dir=storage.root) as client:
            yield client

    @pytest.fixture
    def task(self, manager, storage):
        """A task with its uploads that is being worked on."""
        manager.submit(new_task("a"))
        save_uploads(storage, "a")
        return manager.claim("ticket", "preview")

    def test_a_running_task_is_cancelled_and_still_there(self, client, task):
        answer = client.delete("/task/a")
        assert (answer.status_code, answer.json()["cancelled"]) == (200, True)
        assert client.get("/task/a").json()["error"] == "cancelled"

    def test_a_finished_task_goes_with_its_files(self, client, manager, storage, task):
        manager.complete(report_of(task), "attempt-1.mp4")
        assert client.delete("/task/a").status_code == 204
        assert_error(client.get("/task/a"), 404, "task_not_found", "task_id")
        assert list(storage.root.glob("uploads/*")) == []

    def test_one_that_is_completed_while_it_is_looked_at_goes_as_well(
        self, client, manager, task, monkeypatch
    ):
        looked_at = manager.overview.snapshot("a", owner=None)
        monkeypatch.setattr(Overview, "snapshot", lambda _overview, _task_id, _owner: looked_at)
        manager.complete(report_of(task), "attempt-1.mp4")
        assert client.delete("/task/a").status_code == 204

    def test_a_full_disk_has_room_again(self, client, manager, storage, task, journal, monkeypatch):
        def write(_task_id):
            if storage.root.joinpath("uploads", "a").exists():
                raise StorageFull

        monkeypatch.setattr(journal, "delete", write)
        manager.complete(report_of(task), "attempt-1.mp4")
        assert client.delete("/task/a").status_code == 204


class TestTasks:
    def test_the_newest_come_first_page_by_page(self, service, post):
        ids = [post({"length": "2"}).json()["task_id"] for _ in range(3)]
        first = service.http.get("/tasks", params={"limit": 2}).json()
        second = service.http.get("/tasks", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert [task["task_id"] for task in first["tasks"]] == [ids[2], ids[1]]
        assert second["tasks"][0]["task_id"] == ids[0]

    def test_a_listed_task_is_told_as_it_is_alone(self, service, finished):
        page = service.http.get("/tasks", params={"status": "completed", "limit": 100}).json()
        assert {task["status"] for task in page["tasks"]} == {"completed"}
        assert finished in page["tasks"]

    @pytest.mark.parametrize(
        ("name", "value"), [("status", "done"), ("cursor", "x"), ("cursor", "9" * 19), ("limit", "101")]
    )
    def test_a_wrong_wish_is_named(self, service, name, value):
        response = service.http.get("/tasks", params={name: value})
        assert_error(response, 422, "invalid_request", name)


class TestHealth:
    def test_a_ready_service_names_its_engines(self, service):
        health = service.http.get("/health").json()
        assert health["alive"]
        assert health["ready"]
        assert health["reason"] is None
        assert set(health["engines"]) == set(ENGINES)
        assert health["engines"]["preview"]["ready"]

    def test_an_engine_that_is_left_out_says_why(self, service):
        health = service.http.get("/health").json()
        assert health["engine"] == "preview"
        assert not health["engines"]["echomimic"]["ready"]
        assert "weights are missing" in health["engines"]["echomimic"]["reason"]

    @pytest.mark.parametrize("header", READ_BY_SERVE)
    def test_headers_that_serve_reads_itself_break_nothing(self, service, header):
        response = service.http.get("/health", headers={header.encode(): b"\xff"})
        assert (response.status_code, response.json()["ready"]) == (200, True)

    @pytest.mark.parametrize("error", [ManagerUnavailable("it cannot start"), JournalUnavailable()])
    def test_why_there_is_no_manager_is_told(self, monkeypatch, error):
        async def fail(_method):
            raise error

        manager = ManagerClient(Settings(), deployments(), timeout_s=1)
        monkeypatch.setattr(manager, "call", fail)
        with client_of(manager) as client:
            health = client.get("/health").json()
        assert (health["ready"], health["reason"]) == (False, error.message)


class TestPages:
    def test_the_landing_page_links_to_the_documentation(self, service):
        page = service.http.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert 'href="/docs"' in page.text

    def test_the_documentation_needs_no_internet(self, service):
        page = service.http.get("/docs").text
        assert re.findall(r"https?://", page) == []
        assets = re.findall(r'(?:src|href)="(/[^"]+)"', page)
        assert len(assets) >= 2
        for asset in assets:
            assert service.http.get(asset).status_code == 200

    def test_an_unknown_page_has_the_error_shape(self, service):
        assert_error(service.http.get("/nowhere"), 404, "not_found")

    def test_a_wrong_method_has_the_error_shape(self, service):
        response = service.http.put("/generate_video")
        assert_error(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "POST"


class TestOrigins:
    @pytest.mark.parametrize("origin", ["null", "https://example.org"])
    @pytest.mark.parametrize("path", ["/task/x", "/download/x"])
    def test_every_page_may_use_the_contract_s_routes(self, service, origin, path):
        response = service.http.get(path, headers={"Origin": origin})
        assert response.headers["access-control-allow-origin"] == "*"

    def test_the_preflight_of_an_upload_is_answered(self, service):
        headers = {
            "Origin": "null",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
            "Access-Control-Request-Private-Network": "true",
        }
        response = service.http.options("/generate_video", headers=headers)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == "*"
        assert "POST" in response.headers["access-control-allow-methods"]

    def test_a_refused_upload_tells_the_page_why(self, service):
        response = service.http.post("/generate_video", headers={"Origin": "null"})
        assert response.status_code == 422
        assert response.headers["access-control-allow-origin"] == "*"

    @pytest.mark.parametrize(
        ("method", "path"), [("DELETE", "/task/x"), ("POST", "/task/x/cancel"), ("GET", "/tasks")]
    )
    def test_foreign_pages_may_not_end_or_list_tasks(self, service, method, path):
        origin = {"Origin": "https://example.org"}
        preflight = service.http.options(path, headers={**origin, "Access-Control-Request-Method": method})
        answer = service.http.request(method, path, headers=origin)
        assert "access-control-allow-origin" not in {**preflight.headers, **answer.headers}

    @pytest.mark.parametrize("path", ["/health", "/", "/openapi.json"])
    def test_other_routes_are_closed_to_foreign_pages(self, service, path):
        response = service.http.get(path, headers={"Origin": "https://example.org"})
        assert "access-control-allow-origin" not in response.headers

    def test_a_host_that_is_not_ours_is_refused(self, service):
        response = service.http.get("/health", headers={"Host": "rebound.example.org"})
        assert_error(response, 400, "host_not_allowed", "Host")


class TestAFullDisk:
    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "/task/{task_id}/cancel"), ("DELETE", "/task/{task_id}")]
    )
    def test_is_a_documented_answer(self, tmp_path, sqlite_journal, submit, monkeypatch, method, path):
        api = local_api(tmp_path, sqlite_journal)
        task_id = submit(api).json()["task_id"]

        def full(*_arguments):
            raise StorageFull

        monkeypatch.setattr(sqlite_journal, "save", full)
        answer = api.request(method, path.format(task_id=task_id))
        assert (answer.status_code, answer.json()["error"]["type"]) == (507, "storage_full")
        assert "507" in api.get("/openapi.json").json()["paths"][path][method.lower()]["responses"]


class TestAVideo:
    def test_that_is_removed_while_it_is_asked_for_is_gone(
        self, tmp_path, sqlite_journal, submit, monkeypatch
    ):
        api = local_api(tmp_path, sqlite_journal)
        task_id = submit(api).json()["task_id"]
        task = sqlite_journal.get(task_id)
        sqlite_journal.save(
            replace(task, status=TaskStatus.COMPLETED, video="attempt-1.mp4", finished_at=1.0)
        )
        storage = LocalStorage(tmp_path / "data")
        publish_video(storage, task_id)
        later = local_api(tmp_path, sqlite_journal)
        assert later.get(f"/download/{task_id}").content == b"content"
        storage.remove_video(task_id, "attempt-1.mp4")
        answer = later.get(f"/download/{task_id}")
        assert (answer.status_code, answer.json()["error"]["type"]) == (410, "video_gone")
