"""`make demo` without make: one command that ends cleanly, whatever happens."""

import socket
import subprocess
import sys

import pytest

from serve_app.client import DEFAULT_URL
from serve_app.launcher import ROOT
from tests.service import PROMISED_END_S, poll

DEMO = [sys.executable, "-m", "serve_app.demo"]


def run_demo(*arguments):
    return subprocess.run([*DEMO, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def free_demo_port():
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(DEFAULT_URL.rsplit(":", 1)[1]))) == 0:
            pytest.skip(f"something listens on {DEFAULT_URL}")


@pytest.mark.timeout(400)
def test_it_makes_a_video_keeps_serving_and_ends_everything_it_started_in_ten_seconds(
    run_process, free_demo_port, tmp_path
):
    video, log = tmp_path / "me.mp4", tmp_path / "demo.log"
    command = [*DEMO, "--out", str(video)]
    with run_process(command, log, end_timeout_s=PROMISED_END_S) as demo:
        poll(lambda: "Ctrl-C ends it" in log.read_text() or demo.poll() is not None, 240)
        assert demo.poll() is None, log.read_text()
        assert demo.children(recursive=True)
    assert demo.returncode == 0
    assert video.read_bytes()[4:8] == b"ftyp"
    told = log.read_text()
    assert "154 frames, 512×512, made by the preview engine on cpu" in told
    assert told.count("Starting the service (it does not respond yet)\n") == 1
    assert "\r" not in told


def test_a_missing_file_is_told_before_anything_starts():
    done = subprocess.run(
        [*DEMO, "--image", "nowhere.jpg"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no file nowhere.jpg" in done.stderr


def test_a_taken_port_is_told_before_anything_starts(free_demo_port):
    with socket.create_server(("127.0.0.1", int(DEFAULT_URL.rsplit(":", 1)[1]))):
        done = run_demo()
    assert done.returncode == 1
    assert f"another program already listens on {DEFAULT_URL}" in done.stderr
