"""Keeps from Serve's HTTP proxy the request headers that it would heed. Knows nothing of the routes."""

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

# What this release of Serve reads before any code of ours, and so before Host header and API key.
HEEDED = (
    SERVE_HTTP_REQUEST_ID_HEADER,
    SERVE_SESSION_ID,
    SERVE_MULTIPLEXED_MODEL_ID,
    SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
    SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
)


def middlewares() -> list[Middleware]:
    """What serve_config.yaml has each proxy call when it starts, and put around itself."""
    return [Middleware(HeaderRemovalMiddleware, HEEDED)]


class HeaderRemovalMiddleware:
    """Passes requests on without these headers.

    The proxy fails at a value that is not UTF-8, for two of them leaving a little in memory each time, and
    by one a client could have its request given up as timed out. This service uses none.

    Args:
        names: in any case; `-` and `_` are the same, as they are for Serve.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]):
        self._app = app
        self._names = {_folded(name.encode()) for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI has it."""
        if "headers" in scope:
            kept = [header for header in scope["headers"] if _folded(header[0]) not in self._names]
            scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)


def _folded(name: bytes) -> bytes:
    return name.lower().replace(b"-", b"_")
