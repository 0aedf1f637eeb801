"""What stands before the routes: the size of a body, the Host header, the origins of web pages."""

import logging
import re
from collections.abc import Collection, Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.error_responses import error_response, plain_error_response
from serve_app.errors import ApiError, BodyTooLarge, HostNotAllowed

_OPEN_METHODS = ("GET", "HEAD", "POST")

logger = logging.getLogger("ray.serve")


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
            host = re.sub(r":[0-9]+$", "", Headers(scope=scope).get("host", ""))
            if host.lower() not in self._allowed_hosts:
                error = HostNotAllowed(
                    f"this service does not answer for the host {host!r}",
                    field="Host",
                    allowed=", ".join(self._allowed_hosts),
                )
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class ErrorShapeMiddleware:
    """Gives the errors that libraries answer as plain text, and unforeseen ones, the shape of all others."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if answer.started:
                raise
            error = ApiError("something went wrong in the service; its log says what")
            await error_response(error)(scope, receive, send)
            return
        if answer.plain_error is not None:
            response = plain_error_response(answer.plain_error["status"], answer.text)
            if "content-range" in (headers := Headers(raw=answer.plain_error["headers"])):
                response.headers["content-range"] = headers["content-range"]
            await response(scope, receive, send)


class _Answer:
    """Passes an answer on, except an error in plain text, which it keeps."""

    def __init__(self, send: Send):
        self._send = send
        self.started = False
        self.plain_error: Message | None = None
        self.text = ""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_plain_error(message):
            self.plain_error = message
        elif self.plain_error is not None:
            self.text += message.get("body", b"").decode("utf-8", "replace")
        else:
            self.started = True
            await self._send(message)


def _is_plain_error(start: Message) -> bool:
    content_type = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] >= 400 and content_type.startswith("text/plain")


class _CrossOriginResource(CORSMiddleware):
    """Refuses preflights in the shape of all other errors."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        refusal = plain_error_response(response.status_code, bytes(response.body).decode())
        refusal.headers["vary"] = response.headers["vary"]
        return refusal


class CrossOriginMiddleware:
    """Opens the contract's three routes to pages of every origin, the rest to configured ones.

    Args:
        open_routes: first segments of the paths that every page may call; they have two at most.
        origins: origins that may call everything.
    """

    def __init__(self, app: ASGIApp, open_routes: Collection[str], origins: Sequence[str]):
        self._open_routes = open_routes
        self._open = _CrossOriginResource(
            app,
            allow_origins=["*"],
            allow_methods=_OPEN_METHODS,
            allow_headers=["*"],
            expose_headers=["Content-Disposition", "Content-Range", "Accept-Ranges", "Retry-After"],
            # Asked by pages from the internet that call a service on the user's own machine.
            allow_private_network=True,
        )
        self._configured = _CrossOriginResource(
            app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI has it."""
        await (self._open if self._is_open(scope) else self._configured)(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        segments = scope.get("path", "").split("/")[1:]
        if len(segments) not in (1, 2) or segments[0] not in self._open_routes:
            return False
        # A preflight asks on behalf of another method.
        method = Headers(scope=scope).get("access-control-request-method", scope["method"])
        return method in _OPEN_METHODS
