"""The API in the process of a test, where its neighbours can be replaced."""

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from serve_app.api.application import create_api
from serve_app.engines.choice import EngineChoice
from serve_app.settings import Settings
from serve_app.tasks.journal import Journal
from serve_app.tasks.manager import TaskManager

PREVIEW_ALONE = EngineChoice("preview", {"echomimic": "no weights"})


class LocalManager:
    """Calls a task manager that is here, as a `ManagerClient` calls the one in Ray's actor."""

    def __init__(self, manager: TaskManager):
        self._manager = manager

    async def call(self, method: Any, *args: Any) -> Any:
        return getattr(self._manager, method.__name__)(*args)


def local_api(
    folder: Path, journal: Journal, choice: EngineChoice = PREVIEW_ALONE, **settings: Any
) -> TestClient:
    """A client of an API with these settings, whose tasks wait forever."""
    limits = {"lease_s": 60, "stall_timeout_s": 60, "max_failures": 3}
    room = {"max_pending": 100, "max_pending_per_owner": 100}
    manager = TaskManager(journal, name="local", **limits, **room)
    arguments = Settings(data_dir=folder / "data", **settings)
    return TestClient(create_api(arguments, choice, LocalManager(manager)), base_url="http://localhost")
