"""Checks API keys and signed URLs, and tells the routes who the caller is."""

from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.access.api_keys import ApiKey, ApiKeys
from serve_app.access.signed_urls import UrlSigner
from serve_app.api.caller import Caller
from serve_app.api.error_responses import error_response
from serve_app.errors import ApiError, KeysUnavailable, LinkRefused, Unauthorized
from serve_app.schemas import ErrorResponse

OPEN_PATHS = frozenset({"/health"})

KEY_HEADER = "X-API-Key"

_HOW = f"send it as 'Authorization: Bearer KEY' or as '{KEY_HEADER}: KEY'"


class AccessMiddleware:
    """Refuses requests without a valid API key or signed URL, before their body is read.

    For accepted requests, the routes get the caller from `caller_of`.

    Args:
        keys: the valid API keys.
        signer: checks signed URLs.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, signer: UrlSigner):
        self._app = app
        self._keys = keys
        self._signer = signer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: the ASGI interface."""
        if scope["type"] == "lifespan" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            key = self._identify(scope)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        sees = None if key.admin else key.name
        caller = Caller(key.name, sees, partial(self._signer.sign, key=key))
        # A copy: the server may share one dictionary among all requests.
        scope["state"] = {**scope.get("state", {}), "caller": caller}
        await self._app(scope, receive, send)

    def _identify(self, scope: Scope) -> ApiKey:
        sent = _sent_key(Headers(scope=scope))
        if sent is not None:
            key = self._keys.find(sent)
            if key is None:
                raise Unauthorized("the API key is unknown or was revoked")
            return key
        query = QueryParams(scope["query_string"])
        if "signature" in query and scope.get("method") in ("GET", "HEAD"):
            return self._signer.signed_by(scope["path"], query)
        raise Unauthorized(f"this service needs an API key: {_HOW}")


def describe_access(app: FastAPI) -> None:
    """Document which routes need an API key, and how to send it."""
    schema = app.openapi()
    schema["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
    }
    for path in schema["paths"].keys() - OPEN_PATHS:
        for operation in schema["paths"][path].values():
            operation["security"] = [{"bearer": []}, {"header": []}]
            operation["responses"] |= _refusals()


def _refusals() -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorResponse.__name__}"}}}
    return {
        str(error.status_code): {"description": error.__doc__, "content": content}
        for error in (Unauthorized, LinkRefused, KeysUnavailable)
    }


def _sent_key(headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    # Other schemes are meant for a proxy in front of the service.
    return credentials.strip() if scheme.lower() == "bearer" else headers.get(KEY_HEADER)
