"""The pages for people: a landing page and the interactive API documentation."""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from serve_app.api.read_routes import HeadRouter

_LANDING_PAGE = Path(__file__).with_name("landing.html").read_text(encoding="utf-8")

# Where FastAPIOffline serves Swagger UI.
_SWAGGER_UI = "/static-offline-docs"


router = HeadRouter(include_in_schema=False)


@router.get("/")
async def landing_page() -> HTMLResponse:
    """The landing page."""
    return page(_LANDING_PAGE)


@router.get("/docs")
async def documentation(request: Request) -> HTMLResponse:
    """The interactive API documentation."""
    app, root = request.app, request.scope.get("root_path", "")
    swagger_ui = get_swagger_ui_html(
        openapi_url=f"{root}{app.openapi_url}",
        title=app.title,
        swagger_js_url=f"{root}{_SWAGGER_UI}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{_SWAGGER_UI}/swagger-ui.css",
        swagger_favicon_url=f"{root}{_SWAGGER_UI}/favicon.png",
    )
    return page(bytes(swagger_ui.body).decode())


def page(html: str) -> HTMLResponse:
    """A page that may run only its own scripts, and load only from this service."""
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *_hashes(html, "script")]),
        "style-src": " ".join(["'self'", *_hashes(html, "style")]),
        "img-src": "'self' data:",
        "media-src": "'self' blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    value = "; ".join(f"{directive} {sources}" for directive, sources in policy.items())
    return HTMLResponse(html, headers={"Content-Security-Policy": value})


def _hashes(html: str, tag: str) -> list[str]:
    """The policy's sources for the inline elements of this kind: those without attributes."""
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return [f"'sha256-{_base64_sha256(content)}'" for content in contents]


def _base64_sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
