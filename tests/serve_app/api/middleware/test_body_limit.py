"""Bodies over the limit are refused, whether they say how long they are or not."""

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from serve_app.api.error_responses import install_error_handlers
from serve_app.api.middleware.body_limit import BodyLimitMiddleware

LIMIT = 1000


@pytest.fixture
def client():
    """An API whose route answers with the size of the body."""
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(BodyLimitMiddleware, max_bytes=LIMIT)

    @app.post("/")
    async def size(request: Request) -> int:
        return len(await request.body())

    return TestClient(app)


def chunks(size):
    """A body without an announced length."""
    yield from (b"x" for _ in range(size))


@pytest.mark.parametrize("body", [bytes, chunks], ids=["announced", "in chunks"])
def test_a_body_of_the_largest_size_is_accepted(client, body):
    assert client.post("/", content=body(LIMIT)).json() == LIMIT


@pytest.mark.parametrize("body", [bytes, chunks], ids=["announced", "in chunks"])
def test_one_more_byte_is_refused(client, body):
    answer = client.post("/", content=body(LIMIT + 1))
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "body_too_large")
    assert str(LIMIT) in answer.json()["detail"]


def test_an_announced_length_is_enough_to_refuse(client):
    answer = client.post("/", content=b"x", headers={"Content-Length": str(LIMIT + 1)})
    assert answer.status_code == 413
