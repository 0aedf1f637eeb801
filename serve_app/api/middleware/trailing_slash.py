"""Makes a path with a slash at its end the same as without."""

from starlette.types import ASGIApp, Receive, Scope, Send


class TrailingSlashMiddleware:
    """Removes slashes at the end of the path, so that no answer is a redirect.

    Many clients do not follow the redirect of a POST, and a web page cannot follow one without CORS headers.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: the ASGI interface."""
        if scope["type"] == "http" and scope["path"].endswith("/"):
            root = scope.get("root_path", "")
            path = scope["path"].removeprefix(root).rstrip("/")
            scope = {**scope, "path": f"{root}{path or '/'}"}
        await self._app(scope, receive, send)
