"""What `GET /health` answers, from what was last seen."""

from serve_app.api.health_answer import health_answer, unready_answer
from serve_app.engines.choice import EngineChoice
from serve_app.schemas import EngineHealth, Health
from serve_app.task import TaskStatus

PREVIEW_ALONE = EngineChoice("preview", {"echomimic": "no weights"})
COUNTS = {TaskStatus.PENDING: 3, TaskStatus.PROCESSING: 1}


def test_a_service_is_ready_when_its_default_engine_is():
    health = Health(engines={"preview": EngineHealth(2, ready=True)})
    answer = health_answer(PREVIEW_ALONE, health, COUNTS)
    assert (answer.ready, answer.reason, answer.engine) == (True, None, "preview")
    assert (answer.pending, answer.processing) == (3, 1)


def test_it_says_why_the_default_engine_is_not_ready():
    health = Health(engines={"preview": EngineHealth(0, ready=False, reason="no CPU is free")})
    answer = health_answer(PREVIEW_ALONE, health, COUNTS)
    assert (answer.ready, answer.reason) == (False, "preview: no CPU is free")


def test_an_engine_that_was_left_out_says_why_and_hinders_nothing():
    health = Health(engines={"preview": EngineHealth(1, ready=True)})
    left_out = health_answer(PREVIEW_ALONE, health, COUNTS).engines["echomimic"]
    assert (left_out.ready, left_out.reason) == (False, "not deployed: no weights")


def test_an_application_that_serve_does_not_know_is_starting():
    answer = health_answer(PREVIEW_ALONE, Health(), COUNTS)
    assert (answer.ready, answer.reason) == (False, "preview: the application is starting")


def test_a_service_of_which_nothing_is_known_is_alive_but_not_ready():
    answer = unready_answer(PREVIEW_ALONE, "the task manager does not respond")
    assert (answer.alive, answer.ready, answer.reason) == (True, False, "the task manager does not respond")
