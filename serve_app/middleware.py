"""What stands before the routes: the size of a body, the Host header, the origins of web pages."""

from collections.abc import Collection, Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.error_responses import error_response
from serve_app.errors import BodyTooLarge, HostNotAllowed


class BodyLimitMiddleware:
    """Answers 413 to a body over the limit: before it is read where its length is announced.

    Args:
        max_bytes: largest body that is let through.
    """

    def __init__(self, app: ASGIApp, max_bytes: int):
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await error_response(BodyTooLarge(self._message()))(scope, receive, send)
            return
        await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                # FastAPI turns any other exception raised while it reads a form into a 400.
                raise HTTPException(BodyTooLarge.status_code, self._message())
            return message

        return receive_some

    def _message(self) -> str:
        return f"the request is larger than the {self._max_bytes} bytes this service accepts"


class HostMiddleware:
    """Refuses requests for hosts this service is not, so that no web page reaches it by DNS rebinding.

    Args:
        allowed_hosts: names without port; "*" allows every one.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str]):
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI has it."""
        if scope["type"] == "http" and "*" not in self._allowed_hosts:
            host = Headers(scope=scope).get("host", "").rsplit(":", 1)[0]
            if host.lower() not in self._allowed_hosts:
                error = HostNotAllowed(
                    f"this service does not answer for the host {host!r}",
                    field="Host",
                    allowed=", ".join(self._allowed_hosts),
                )
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class CrossOriginMiddleware:
    """Opens the contract's three routes to pages of every origin, the rest to configured ones.

    Args:
        open_routes: first segments of the paths that every page may call.
        origins: origins that may call everything.
    """

    def __init__(self, app: ASGIApp, open_routes: Collection[str], origins: Sequence[str]):
        self._open_routes = open_routes
        self._open = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=["Content-Disposition", "Content-Range", "Accept-Ranges"],
        )
        self._configured = CORSMiddleware(
            app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI has it."""
        first_segment = scope.get("path", "").split("/")[1:2]
        is_open = first_segment and first_segment[0] in self._open_routes
        await (self._open if is_open else self._configured)(scope, receive, send)
