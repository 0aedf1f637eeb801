"""Refuses requests for other hosts."""

import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api.error_responses import error_response
from serve_app.errors import HostNotAllowed


class HostMiddleware:
    """Refuses requests for hosts that are not ours, which protects against DNS rebinding by web pages.

    Args:
        allowed_hosts: host names without a port; "*" allows every name.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str]):
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: the ASGI interface."""
        if scope["type"] == "http" and "*" not in self._allowed_hosts:
            host = re.sub(r":[0-9]+$", "", Headers(scope=scope).get("host", ""))
            if host.lower() not in self._allowed_hosts:
                error = HostNotAllowed(
                    f"this service does not serve the host {host!r}",
                    field="Host",
                    allowed=", ".join(self._allowed_hosts),
                )
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
