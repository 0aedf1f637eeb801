"""What a client is told of a task."""

from dataclasses import replace
from fractions import Fraction

import pytest

from models.notices import Notice
from models.params import GenerationParams
from models.progress import Progress, Stage
from serve_app.schemas import TaskResponse
from serve_app.task import Task, TaskSnapshot, TaskStatus

TASK = Task(
    id="a",
    engine="preview",
    params=GenerationParams(),
    requested_device="cpu",
    created_at=1_800_000_000.0,
    status=TaskStatus.FAILED,
    progress=Progress(None, 0.4, 16, 48, 6.4, (Notice.of("several_faces", count=2),)),
    error=Notice.of("gave_up", failures=3, reason=Notice.of("no_report", seconds=15.0)),
)


def answer(task, *more):
    return TaskResponse.of(TaskSnapshot(task, None, None), str, more).model_dump(mode="json")


def test_warnings_and_error_are_sentences_and_data():
    told = answer(TASK)

    assert told["warnings"] == ["2 faces were found; the largest one speaks"]
    assert told["error"].endswith("the last time: no report for 15 s")
    assert [notice["text"] for notice in told["notices"]] == [*told["warnings"], told["error"]]
    assert told["notices"] == [
        {
            "level": "warning",
            "code": "several_faces",
            "values": {"count": 2},
            "text": told["warnings"][0],
        },
        {
            "level": "error",
            "code": "gave_up",
            "values": {
                "failures": 3,
                "reason": {"code": "no_report", "values": {"seconds": 15.0}, "text": "no report for 15 s"},
            },
            "text": told["error"],
        },
    ]


@pytest.mark.parametrize(
    ("fps", "told"), [(24, "24"), (Fraction(24_000, 1001), "23.976"), (Fraction(25, 2), "12.5")]
)
def test_a_whole_rate_is_told_as_a_whole_number_and_any_other_with_decimals(fps, told):
    task = replace(TASK, params=GenerationParams(fps=fps))
    response = TaskResponse.of(TaskSnapshot(task, None, None), str)

    assert f'"fps":{told},' in response.model_dump_json()
    assert TaskResponse.model_validate_json(response.model_dump_json()) == response


def test_a_client_reads_the_same_back():
    told = TaskResponse.of(TaskSnapshot(TASK, None, None), str)

    assert TaskResponse.model_validate_json(told.model_dump_json()) == told


def test_what_is_known_beyond_the_task_is_a_warning_too():
    waits = Notice.of("engine_not_deployed", engine="echomimic", reason="no GPU was found")
    told = answer(TASK, waits)

    assert told["warnings"][1] == waits.text
    assert [notice["level"] for notice in told["notices"]] == ["warning", "warning", "error"]


def test_a_task_without_notices_has_none():
    waiting = Task("b", "preview", GenerationParams(), "cpu", 1_800_000_000.0)
    told = answer(waiting)

    assert (told["warnings"], told["notices"], told["error"]) == ([], [], None)
    assert (told["stage"], told["progress"]) == (Stage.QUEUED.value, 0.0)
