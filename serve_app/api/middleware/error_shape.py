"""Gives every error one shape, no matter where it comes from."""

import logging

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.api.error_responses import error_response, plain_error_response
from serve_app.errors import ApiError

logger = logging.getLogger("ray.serve")


class ErrorShapeMiddleware:
    """Gives plain-text errors of libraries, and unexpected exceptions, the shape of all other errors."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: the ASGI interface."""
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
            error = ApiError("internal error; see the log of the service")
            await error_response(error)(scope, receive, send)
            return
        if answer.plain_error is not None:
            response = plain_error_response(answer.plain_error["status"], answer.text)
            if "content-range" in (headers := Headers(raw=answer.plain_error["headers"])):
                response.headers["content-range"] = headers["content-range"]
            await response(scope, receive, send)


class _Answer:
    """Passes a response on, but keeps a plain-text error."""

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
