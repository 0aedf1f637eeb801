"""Every answer restricts what browsers do with it; a page may have a policy of its own."""

from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Route

from serve_app.api.middleware.security_headers import SecurityHeadersMiddleware


async def plain(_request):
    return PlainTextResponse("plain")


async def page(_request):
    return PlainTextResponse("page", headers={"Content-Security-Policy": "default-src 'self'"})


CLIENT = TestClient(
    SecurityHeadersMiddleware(Starlette(routes=[Route("/plain", plain), Route("/page", page)]))
)


def test_an_answer_may_do_nothing():
    headers = CLIENT.get("/plain").headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "private"


def test_a_page_keeps_its_own_policy():
    headers = CLIENT.get("/page").headers
    assert headers["content-security-policy"] == "default-src 'self'"
    assert headers["x-content-type-options"] == "nosniff"


def test_an_error_is_restricted_as_well():
    assert CLIENT.get("/nowhere").headers["x-content-type-options"] == "nosniff"
