"""The way to a task manager in the process of the test."""

from typing import Any

from serve_app.engines.registry import deployments
from serve_app.settings import Settings
from serve_app.tasks.journal import Journal
from serve_app.tasks.manager import TaskManager
from serve_app.tasks.manager_client import ManagerClient


def new_manager(journal: Journal, **changes: Any) -> TaskManager:
    """A manager with the limits of the shipped settings."""
    settings = Settings()
    limits = {
        "name": "the manager",
        "lease_s": settings.lease_s,
        "stall_timeout_s": settings.stall_timeout_s,
        "max_failures": settings.max_failures,
        "max_pending": settings.max_pending,
        "max_pending_per_owner": settings.max_pending_per_key,
    }
    return TaskManager(journal, **{**limits, **changes})


class ManagerHere(ManagerClient):
    """Calls this manager, once or, as Ray does where an answer got lost, several times."""

    def __init__(self, manager: TaskManager, times: int = 1):
        super().__init__(Settings(), deployments(), timeout_s=None)
        self._manager = manager
        self._times = times

    async def call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        """The answer to the last call."""
        answers = [getattr(self._manager, method.__name__)(*args, **kwargs) for _ in range(self._times)]
        return answers[-1]
