"""Routes that are read with GET or HEAD."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter


class HeadRouter(APIRouter):
    """A router that answers HEAD wherever it answers GET (RFC 9110, 9.3.2).

    The route's function is the same for both: the web server leaves out the body of an answer to HEAD. The
    API's documentation shows GET alone.
    """

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add a route; called by the router's decorators."""
        super().add_api_route(path, endpoint, **options)
        if options.get("methods") == ["GET"]:
            head = {"methods": ["HEAD"], "include_in_schema": False}
            super().add_api_route(path, endpoint, **{**options, **head})
