"""Limits the size of request bodies."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.api.error_responses import error_response
from serve_app.errors import BodyTooLarge


class BodyLimitMiddleware:
    """Answers 413 to a body over the limit, before reading it if its length is announced.

    Args:
        max_bytes: size of the largest body that is accepted.
    """

    def __init__(self, app: ASGIApp, max_bytes: int):
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: the ASGI interface."""
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
        return f"the request body is larger than {self._max_bytes} bytes, the maximum"
