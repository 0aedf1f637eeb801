"""Every error has one shape, also those of libraries and those that nobody expected."""

import pytest
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Route

from serve_app.api.middleware.error_shape import ErrorShapeMiddleware


async def broken(_request):
    raise ZeroDivisionError("a secret path")


async def teapot(_request):
    return PlainTextResponse("I am a teapot", 418, {"Content-Range": "bytes */9", "X-Other": "1"})


async def fine(_request):
    return PlainTextResponse("fine")


async def broken_halfway(_request):
    async def content():
        yield b"half"
        raise ZeroDivisionError

    return StreamingResponse(content())


@pytest.fixture
def client():
    routes = [Route(f"/{route.__name__}", route) for route in (broken, teapot, fine, broken_halfway)]
    return TestClient(ErrorShapeMiddleware(Starlette(routes=routes)), raise_server_exceptions=False)


def test_an_unexpected_error_is_500_and_tells_no_secret(client):
    answer = client.get("/broken")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "internal_error")
    assert "secret" not in answer.text


def test_a_plain_error_keeps_its_status_its_words_and_its_range(client):
    answer = client.get("/teapot")
    assert answer.status_code == 418
    assert answer.json()["detail"] == answer.json()["error"]["message"] == "I am a teapot"
    assert answer.headers["content-range"] == "bytes */9"


def test_what_is_no_error_passes_as_it_is(client):
    assert (client.get("/fine").status_code, client.get("/fine").text) == (200, "fine")


def test_an_answer_that_has_begun_cannot_become_an_error(client):
    with pytest.raises(ZeroDivisionError), TestClient(client.app) as strict:
        strict.get("/broken_halfway")
