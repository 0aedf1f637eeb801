"""Tasks and reports as two releases exchange them, while one takes over from the other."""

import json
import pickle
import subprocess
import sys
from dataclasses import asdict, replace
from fractions import Fraction

import pytest

from models.notices import Notice
from models.params import GenerationParams
from models.progress import Progress, Stage
from serve_app.launcher import ROOT
from serve_app.settings import Settings
from serve_app.task import Task, TaskPage, TaskReport, TaskSnapshot, TaskStatus

# The release before tasks had a `Progress` and notices; the number is the one of its task manager.
RELEASE_4 = "906f329"

NOTICES = (
    Notice.of("unknown_field", name="lenght"),
    Notice.of("audio_damaged", reason=Notice.of("ffmpeg_ended", exit_code=-9), seconds=1.5),
)
PROGRESS = Progress(Stage.GENERATING, 0.4, 16, 48, 6.4, NOTICES)
FAILED = Task(
    id="failed",
    engine="preview",
    params=GenerationParams(length=48),
    requested_device="cpu",
    created_at=1_800_000_000.0,
    sequence=3,
    status=TaskStatus.FAILED,
    progress=Progress(None, 0.4, 16, 48, 6.4, NOTICES),
    error=Notice.of("gave_up", failures=3, reason=Notice.of("replica_died")),
    finished_at=1_800_000_010.0,
)
RUNNING = Task(
    id="running",
    engine="preview",
    params=GenerationParams(length=48),
    requested_device="cuda",
    created_at=1_800_000_000.0,
    status=TaskStatus.PROCESSING,
    progress=PROGRESS,
    attempt=1,
)
REPORT = TaskReport("running", 1, 7, "cpu", PROGRESS)


@pytest.fixture(scope="module")
def from_release_4():
    """What that release pickled: a snapshot, a report, a page, its settings."""
    pickled = pickle.loads((ROOT / "tests" / "data" / "code_version_4.pickle").read_bytes())
    return {name: pickle.loads(value) for name, value in pickled.items()}


@pytest.fixture(scope="module")
def ask_release_4(tmp_path_factory):
    """Runs a program in the code of that release, with an object sent to it as `sent`; returns its answer."""
    folder = tmp_path_factory.mktemp("release")
    archive = subprocess.run(["git", "archive", RELEASE_4], cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip(f"the history of this checkout does not reach back to {RELEASE_4}")
    subprocess.run(["tar", "x", "-C", folder], input=archive.stdout, check=True)

    def ask(sent, program):
        program = f"import json, pickle, sys\nsent = pickle.load(sys.stdin.buffer)\n{program}"
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, cwd=folder, input=pickle.dumps(sent), stdout=subprocess.PIPE, check=True
        ).stdout

    return ask


@pytest.mark.parametrize(
    "sent",
    [
        FAILED,
        RUNNING,
        REPORT,
        TaskSnapshot(RUNNING, 1, 2.0),
        TaskPage((TaskSnapshot(FAILED, None, None),), 1),
    ],
)
def test_travels_between_processes_of_this_release(sent):
    assert pickle.loads(pickle.dumps(sent)) == sent


def test_a_report_of_the_release_before_is_understood(from_release_4):
    report = from_release_4["report"]

    assert (report.task_id, report.attempt, report.counter, report.device) == ("running", 1, 3, "cpu")
    assert report.progress == Progress(
        Stage.GENERATING,
        0.4,
        16,
        48,
        6.4,
        tuple(Notice.of("text", text=text) for text in report.progress.warnings),
    )
    assert report.progress.warnings[0] == "unknown field 'lenght' was ignored"


def test_a_task_of_the_release_before_is_understood(from_release_4):
    task = from_release_4["running"].task

    assert (task.status, task.attempt, task.params.length) == (TaskStatus.PROCESSING, 1, 48)
    assert (task.progress.stage, task.progress.fraction) == (Stage.GENERATING, 0.4)


def test_errors_of_the_release_before_are_understood(from_release_4):
    errors = {snapshot.task.id: snapshot.task.error for snapshot in from_release_4["page"].snapshots}

    assert errors["cancelled"] == Notice.of("text", text="cancelled")
    assert errors["due"].text.startswith("reference_image: the reference image is damaged")
    assert errors["done"] is None


def test_settings_of_the_release_before_are_understood(from_release_4):
    assert from_release_4["settings"] == Settings(data_dir="/data")


def test_the_release_before_finds_the_nearest_whole_rate_and_hands_the_exact_one_back(ask_release_4):
    params = GenerationParams(fps=Fraction(24_000, 1001))
    task = replace(RUNNING, params=params)
    shown = ask_release_4(
        TaskSnapshot(task, 1, 2.0),
        """
from dataclasses import asdict
from serve_app.schemas import TaskResponse
print(json.dumps([TaskResponse.of(sent, str).fps, asdict(sent.task.params)]))
""",
    )
    back = pickle.loads(ask_release_4(task, "sys.stdout.buffer.write(pickle.dumps(sent))"))

    assert json.loads(shown) == [24, asdict(GenerationParams(fps=24))]
    assert back == task


def test_what_an_unknown_release_adds_is_ignored():
    state = {**RUNNING.__getstate__(), "mood": "sad"}
    task = Task.__new__(Task)
    task.__setstate__(state)

    assert task == RUNNING
    assert not hasattr(task, "mood")


def test_what_an_earlier_release_did_not_know_has_its_default():
    state = RUNNING.__getstate__()
    del state["webhook_failures"], state["notices"]
    task = Task.__new__(Task)
    task.__setstate__(state)

    assert task.webhook_failures == 0
    assert task.progress.warnings == RUNNING.progress.warnings


def test_an_error_that_an_earlier_release_has_added_counts():
    state = {**RUNNING.__getstate__(), "error": "cancelled"}
    task = Task.__new__(Task)
    task.__setstate__(state)

    assert task.error == Notice.of("text", text="cancelled")
    assert task.progress.notices == NOTICES


def test_the_release_before_answers_with_a_task_of_this_one(ask_release_4):
    program = """
from serve_app.schemas import TaskResponse
print(TaskResponse.of(sent, str).model_dump_json())
"""
    running = json.loads(ask_release_4(TaskSnapshot(RUNNING, 1, 2.0), program))
    failed = json.loads(ask_release_4(TaskSnapshot(FAILED, None, None), program))

    assert (running["stage"], running["progress"], running["audio_seconds"]) == ("generating", 0.4, 6.4)
    assert (running["frames_requested"], running["frames_generated"]) == (48, 16)
    assert running["warnings"] == list(PROGRESS.warnings)
    assert (running["error"], failed["error"]) == (None, FAILED.error.text)
    assert failed["stage"] is None


def test_the_manager_of_the_release_before_takes_a_report_of_this_one(ask_release_4):
    program = """
from dataclasses import asdict
from serve_app.task import Stage
assert sent.stage is Stage.GENERATING
print(json.dumps(asdict(sent)))
"""
    assert json.loads(ask_release_4(REPORT, program)) == {
        "task_id": "running",
        "attempt": 1,
        "counter": 7,
        "stage": "generating",
        "progress": 0.4,
        "device": "cpu",
        "frames_requested": 48,
        "frames_generated": 16,
        "audio_seconds": 6.4,
        "warnings": list(PROGRESS.warnings),
    }


def test_notices_survive_the_way_through_the_release_before(ask_release_4):
    back = ask_release_4(RUNNING, "sys.stdout.buffer.write(pickle.dumps(sent))")

    assert pickle.loads(back) == RUNNING
