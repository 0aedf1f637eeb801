"""What stands before the routes, alone."""

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serve_app.api.middleware.host import HostMiddleware


def status(allowed, host):
    """The status that a request with this Host header gets."""
    app = HostMiddleware(Starlette(routes=[Route("/", lambda _: PlainTextResponse("in"))]), allowed)
    headers = [] if host is None else [(b"host", host.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}
    sent = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"]


@pytest.mark.parametrize("host", ["localhost", "LocalHost:7688", "127.0.0.1:1", "[::1]", "[::1]:7688"])
def test_our_own_names_are_served_with_any_port(host):
    assert status(("localhost", "127.0.0.1", "[::1]"), host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example.org",
        "localhost.example.org",
        "127.0.0.1.example.org:7688",
        "localhost@example.org",
        "example.org#localhost",
        "example.org:80:localhost",
        "localhost:7688.example.org",
        "localhost.",
        "0.0.0.0",
        "2130706433",
        "",
        ":7688",
        None,
    ],
)
def test_every_other_name_is_refused(host):
    assert status(("localhost", "127.0.0.1", "[::1]"), host) == 400


def test_a_star_serves_every_name():
    assert status(("*",), "rebound.example.org") == 200
