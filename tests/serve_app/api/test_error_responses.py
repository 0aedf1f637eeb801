"""Errors of the service, of the models and of FastAPI are answered in one shape."""

from typing import Annotated

import pytest
from fastapi import FastAPI, HTTPException, Query
from fastapi.testclient import TestClient

from models.speech import check_audio
from serve_app.api.error_responses import install_error_handlers
from serve_app.errors import QueueFull


@pytest.fixture
def client(tmp_path):
    """An API with a route per kind of error."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/full")
    async def full() -> None:
        raise QueueFull("7 tasks are pending", retry_after_s=12)

    @app.get("/input")
    async def no_sound() -> None:
        path = tmp_path / "empty"
        path.touch()
        check_audio(path)

    @app.get("/number")
    async def number(limit: Annotated[int, Query(ge=1)]) -> int:
        return limit

    @app.get("/http")
    async def http() -> None:
        raise HTTPException(416, "beyond the end", headers={"Content-Range": "bytes */9"})

    return TestClient(app)


def test_an_error_of_the_service_has_its_type_and_headers(client):
    answer = client.get("/full")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "12")
    message = "7 tasks are pending, the maximum; retry in 12 s"
    assert answer.json() == {"error": {"type": "queue_full", "message": message}, "detail": message}


def test_an_error_of_the_models_names_the_field_and_what_is_allowed(client):
    answer = client.get("/input")
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["field"]) == (422, "invalid_request", "audio_file")
    assert "WAV" in error["allowed"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "limit is missing"),
        ("?limit=0", "limit: should be greater than or equal to 1, not '0'"),
        (f"?limit={'x' * 1000}", "limit: should be a valid integer"),
    ],
    ids=["missing", "too small", "endless"],
)
def test_a_wrong_value_is_named_in_short(client, query, message):
    answer = client.get(f"/number{query}")
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "limit")
    assert answer.json()["detail"].startswith(message)
    assert len(answer.json()["detail"]) < 300


def test_an_error_of_fastapi_has_its_phrase_for_a_type(client):
    answer = client.get("/http")
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */9")
    assert answer.json()["error"]["type"] == "requested_range_not_satisfiable"
    assert client.get("/nowhere").json()["error"]["type"] == "not_found"
    assert client.post("/full").json()["error"]["type"] == "method_not_allowed"
