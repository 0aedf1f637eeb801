"""The API in the process of a test, where its neighbours can be replaced."""

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from serve_app.api.application import create_api
from serve_app.engines.choice import EngineChoice
from serve_app.settings import Settings
from serve_app.tasks.journal import Journal
from tests.serve_app.managers import ManagerHere, new_manager

PREVIEW_ALONE = EngineChoice("preview", {"echomimic": "no weights"})


def local_api(
    folder: Path, journal: Journal, choice: EngineChoice = PREVIEW_ALONE, **settings: Any
) -> TestClient:
    """A client of an API with these settings, whose tasks wait forever."""
    arguments = Settings(data_dir=folder / "data", **settings)
    manager = new_manager(journal, arguments)
    return TestClient(create_api(arguments, choice, ManagerHere(manager)), base_url="http://localhost")
