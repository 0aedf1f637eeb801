"""Removes the request headers that Serve's HTTP proxy would act on. Knows nothing of the routes."""

from collections.abc import Sequence

from ray.serve._private.constants import (
    SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
    SERVE_HTTP_REQUEST_ID_HEADER,
    SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
    SERVE_MULTIPLEXED_MODEL_ID,
    SERVE_SESSION_ID,
)
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.cluster.http_protocol import ignore_upgrades

# The headers that Serve reads before any code of ours, and so before Host header and API key are checked.
READ_BY_SERVE = (
    SERVE_HTTP_REQUEST_ID_HEADER,
    SERVE_SESSION_ID,
    SERVE_MULTIPLEXED_MODEL_ID,
    SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
    SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
)


def middlewares() -> list[Middleware]:
    """Called by each proxy before it listens, as serve_config.yaml says; the proxy wraps itself in them.

    It is also the one moment at which code of ours can choose how the proxy speaks HTTP.
    """
    ignore_upgrades()
    return [Middleware(HeaderRemovalMiddleware, READ_BY_SERVE)]


class HeaderRemovalMiddleware:
    """Passes requests on without these headers, none of which this service uses.

    The proxy fails on values that are not UTF-8, and for two of the headers leaks a little memory each time;
    with another one a client could make it abandon a request.

    Args:
        names: in any case; `-` and `_` are the same, as they are for Serve.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]):
        self._app = app
        self._names = {_folded(name.encode()) for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: the ASGI interface."""
        if "headers" in scope:
            kept = [header for header in scope["headers"] if _folded(header[0]) not in self._names]
            scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)


def _folded(name: bytes) -> bytes:
    return name.lower().replace(b"-", b"_")
