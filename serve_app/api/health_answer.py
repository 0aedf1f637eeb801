"""The answer of `GET /health`, from the state that the task manager last observed."""

from collections.abc import Mapping

from serve_app.engines.choice import EngineChoice
from serve_app.schemas import EngineHealth, Health, HealthResponse
from serve_app.task import TaskStatus


def health_answer(choice: EngineChoice, health: Health, counts: Mapping[TaskStatus, int]) -> HealthResponse:
    """The state of the service.

    Args:
        choice: which engines are deployed.
        health: the last observed state of their deployments.
        counts: how many tasks are pending, and how many are processing.
    """
    left_out = {
        name: EngineHealth(0, ready=False, reason=f"not deployed: {why}")
        for name, why in choice.left_out.items()
    }
    default = health.engines.get(choice.default, EngineHealth(0, False, "the application is starting"))
    return HealthResponse(
        ready=default.ready,
        reason=None if default.ready else f"{choice.default}: {default.reason}",
        engine=choice.default,
        engines={**health.engines, **left_out},
        pending=counts[TaskStatus.PENDING],
        processing=counts[TaskStatus.PROCESSING],
    )


def unready_answer(choice: EngineChoice, reason: str) -> HealthResponse:
    """The answer when nothing is known about the engines."""
    return HealthResponse(
        ready=False, reason=reason, engine=choice.default, engines={}, pending=0, processing=0
    )
