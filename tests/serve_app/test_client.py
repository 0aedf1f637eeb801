"""The Python client and the command line, against the running service."""

import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from models.progress import Stage
from serve_app.client import ClientError, EchoMimicClient
from serve_app.launcher import ROOT
from serve_app.schemas import ErrorDetail, ErrorResponse
from serve_app.task import TaskStatus
from tests.terminal import on_terminal


@pytest.fixture
def client(service):
    with EchoMimicClient(service.url) as client:
        yield client


@pytest.fixture
def restarting():
    """Answers as a service that is being started anew, and then as one that knows no task."""
    gone = ErrorResponse(error=ErrorDetail(type="task_not_found", message="gone"), detail="gone")
    starting = ErrorResponse(error=ErrorDetail(type="manager_unavailable", message="wait"), detail="wait")
    answers = [
        (404, b"Path '/task/a' not found. Ping http://.../-/routes for available routes."),
        (503, starting.model_dump_json().encode()),
        (404, gone.model_dump_json().encode()),
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_restart_of_the_service_is_ridden_out(restarting):
    url, answers = restarting
    with EchoMimicClient(url, poll_interval_s=0.01) as client, pytest.raises(ClientError, match="gone"):
        client.wait("a", lambda task: None)
    assert answers == []


def command_line(service, *arguments):
    command = [sys.executable, "-m", "serve_app.client", "--url", service.url, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_video_is_made_and_saved(client, tmp_path, astronaut_file, speech_file):
    seen = []
    task_id = client.generate_video(astronaut_file, speech_file, width=128, height=128, length=24)
    task = client.wait(task_id, lambda task: seen.append(task.progress))
    client.download(task_id, tmp_path / "video.mp4")
    assert task.frames_generated == 24
    assert seen[-1] == 1
    assert (tmp_path / "video.mp4").read_bytes()[4:8] == b"ftyp"


def test_a_refusal_carries_the_service_s_words(client, astronaut_file, speech_file):
    with pytest.raises(ClientError, match="width: should be a multiple of 8, not '130'"):
        client.generate_video(astronaut_file, speech_file, width=130)


def test_a_failed_task_raises_with_its_error(client, nobody_file, speech_file):
    task_id = client.generate_video(nobody_file, speech_file)
    with pytest.raises(ClientError, match="no face was found"):
        client.wait(task_id, lambda task: None)
    with pytest.raises(ClientError, match="no face was found"):
        client.download(task_id, speech_file.with_suffix(".mp4"))
    assert not speech_file.with_suffix(".mp4").exists()


def test_an_unknown_task_raises(client):
    with pytest.raises(ClientError, match="there is no task 'nobody'"):
        client.task("nobody")


def test_tasks_are_listed_cancelled_and_deleted(client, astronaut_file, speech_file):
    task_id = client.generate_video(astronaut_file, speech_file, width=1024, height=1024)
    assert client.cancel(task_id).cancelled
    page = client.tasks(status=TaskStatus.FAILED, limit=1)
    assert [task.task_id for task in page.tasks] == [task_id]
    client.delete(task_id)
    with pytest.raises(ClientError, match="there is no task"):
        client.task(task_id)
    assert task_id not in [task.task_id for task in client.tasks(cursor=page.next_cursor).tasks]


def test_a_repeated_request_gives_the_same_task(client, astronaut_file, speech_file):
    key = str(uuid.uuid4())
    first, second = (
        client.generate_video(astronaut_file, speech_file, idempotency_key=key, length=2) for _ in range(2)
    )
    assert first == second


DISPLAY = """
from models.progress import Stage
from serve_app.client import ProgressDisplay
with ProgressDisplay("{desc} {percentage:3.0f} %") as display:
    for percent in range(0, 101, 20):
        display.show("generating" if percent < 100 else "encoding", percent)
"""


def test_progress_is_a_bar_on_a_terminal():
    shown = on_terminal([sys.executable, "-c", DISPLAY], cwd=ROOT)
    assert "\rgenerating  80 %" in shown
    assert "\rencoding 100 %" in shown


def test_progress_is_a_line_for_each_stage_elsewhere():
    done = subprocess.run(
        [sys.executable, "-c", DISPLAY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "generating\nencoding\n"


def test_the_command_line_shows_each_stage_once_and_says_what_it_made(
    service, tmp_path, astronaut_file, speech_file
):
    said = ["--label", "start", "--consent"]
    done = command_line(service, *said, astronaut_file, speech_file, tmp_path / "video.mp4")
    assert done.returncode == 0, done.stderr
    newest = service.http.get("/tasks", params={"limit": 1}).json()["tasks"][0]
    assert (newest["label"], newest["consent"]) == ("start", True)
    stages = done.stderr.splitlines()
    assert stages == list(dict.fromkeys(stages))
    assert set(stages) <= {*(stage.value for stage in Stage), TaskStatus.COMPLETED.value}
    assert stages[-1] == TaskStatus.COMPLETED.value
    assert "made by the preview engine on cpu" in done.stdout
    assert "note: device 'cuda' was asked for" in done.stdout


def test_the_command_line_fails_in_one_line(service, tmp_path, nobody_file, speech_file):
    done = command_line(service, nobody_file, speech_file, tmp_path / "video.mp4")
    assert done.returncode == 1
    assert "error: reference_image: no face was found" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
