"""CORS: which web pages may call which routes."""

from collections.abc import Collection, Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api.error_responses import plain_error_response

_OPEN_METHODS = ("GET", "HEAD", "POST")


class _CrossOriginResource(CORSMiddleware):
    """Starlette's middleware, but refused preflights have the shape of all other errors."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        refusal = plain_error_response(response.status_code, bytes(response.body).decode())
        refusal.headers["vary"] = response.headers["vary"]
        return refusal


class CrossOriginMiddleware:
    """Allows every origin to call the three routes of the contract, and configured origins to call all.

    Args:
        open_routes: first segments of the paths that every origin may call; such a path has at most two.
        origins: origins that may call all routes.
    """

    def __init__(self, app: ASGIApp, open_routes: Collection[str], origins: Sequence[str]):
        self._open_routes = open_routes
        self._open = _CrossOriginResource(
            app,
            allow_origins=["*"],
            allow_methods=_OPEN_METHODS,
            allow_headers=["*"],
            expose_headers=["Content-Disposition", "Content-Range", "Accept-Ranges", "ETag", "Retry-After"],
            # Browsers ask for it when a page from the internet calls a service on the user's own machine.
            allow_private_network=True,
        )
        self._configured = _CrossOriginResource(
            app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: the ASGI interface."""
        await (self._open if self._is_open(scope) else self._configured)(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        segments = scope.get("path", "").split("/")[1:]
        if len(segments) not in (1, 2) or segments[0] not in self._open_routes:
            return False
        # A preflight is an OPTIONS request that names the method of the actual request.
        method = Headers(scope=scope).get("access-control-request-method", scope["method"])
        return method in _OPEN_METHODS
