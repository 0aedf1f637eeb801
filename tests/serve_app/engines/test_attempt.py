"""What an attempt reports before and while its video is made."""

from dataclasses import dataclass
from typing import Any

import pytest

from models.notices import Notice
from models.progress import Progress, Stage
from models.provenance import UNKNOWN
from serve_app.engines.attempt import Attempt
from serve_app.storage.local import LocalStorage
from tests.serve_app.new_tasks import A_WARNING, new_task


@dataclass
class Idle:
    """An engine that is asked for nothing."""

    name: str = "preview"
    device: str = "cpu"


@pytest.fixture
def attempt_at(tmp_path):
    def start(*notices, requested_device="cpu"):
        task = new_task("a", requested_device=requested_device, progress=Progress(notices=notices))
        engine: Any = Idle()
        return Attempt(task, engine, LocalStorage(tmp_path), UNKNOWN)

    return start


def test_begins_by_preparing_with_what_submission_noticed(attempt_at):
    report = attempt_at(A_WARNING).report()

    assert (report.counter, report.device) == (0, "cpu")
    assert report.progress == Progress(Stage.PREPARING, notices=(A_WARNING,))


def test_another_device_than_the_one_asked_for_is_noticed(attempt_at):
    (notice,) = attempt_at(requested_device="cuda").report().progress.notices

    assert notice == Notice.of("device_differs", requested="cuda", engine="preview", device="cpu")
    assert notice.text == "device 'cuda' was asked for; the preview engine ran on 'cpu'"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_an_earlier_attempt_noticed_is_said_once(attempt_at, device):
    first = attempt_at(A_WARNING, requested_device=device).report().progress.notices
    of_an_earlier_release = tuple(Notice.of("text", text=notice.text) for notice in first[1:])

    assert attempt_at(*first, requested_device=device).report().progress.notices == first
    again = attempt_at(A_WARNING, *of_an_earlier_release, requested_device=device).report()
    assert again.progress.notices == first
