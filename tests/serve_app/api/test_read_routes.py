"""Whatever can be read with GET can be asked about with HEAD."""

import pytest
from fastapi import FastAPI, Response
from fastapi.testclient import TestClient

from serve_app.api.read_routes import HeadRouter
from serve_app.schemas import Health
from serve_app.tasks.manager import TaskManager
from tests.serve_app.local_api import local_api


@pytest.fixture(autouse=True)
def _health(monkeypatch):
    """The manager of `local_api` has no actor, which would know the health of the engines."""
    monkeypatch.setattr(TaskManager, "health", lambda _manager: Health(), raising=False)


@pytest.fixture
def api(tmp_path, sqlite_journal):
    return local_api(tmp_path, sqlite_journal)


def test_every_route_of_the_api_answers_head_as_it_answers_get(api, submit):
    task_id = submit(api).json()["task_id"]
    paths = api.get("/openapi.json").json()["paths"]
    read = [path.format(task_id=task_id) for path, operations in paths.items() if "get" in operations]
    assert len(read) >= 4
    for path in [*read, "/", "/docs", "/openapi.json", "/static-offline-docs/favicon.png", "/nowhere"]:
        head, get = api.head(path), api.get(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.status_code < 500, path
        assert head.headers == get.headers, path


@pytest.mark.parametrize("path", ["/generate_video", "/task/x/cancel"])
def test_what_cannot_be_read_does_not_answer_head(api, path):
    assert api.head(path).status_code == 405


def test_the_documentation_shows_get_alone(api):
    paths = api.get("/openapi.json").json()["paths"]
    assert not [path for path, operations in paths.items() if "head" in operations]


def test_the_options_of_a_route_hold_for_both():
    router = HeadRouter()

    @router.get("/teapot", status_code=418)
    async def teapot() -> Response:
        return Response(status_code=418)

    app = FastAPI()
    app.include_router(router)
    with TestClient(app) as client:
        assert client.head("/teapot").status_code == client.get("/teapot").status_code == 418
