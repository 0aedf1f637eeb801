"""What a proxy of Serve is told before it listens, and which headers it is not shown."""

import asyncio
from typing import Any

import pytest
import uvicorn
import yaml
from ray.serve._private.http_util import validate_http_proxy_callback_return
from ray.serve._private.utils import call_function_from_import_path
from uvicorn.config import HTTP_PROTOCOLS

from serve_app.cluster.http_protocol import UpgradeIgnoringProtocol
from serve_app.launcher import CONFIG


@pytest.fixture
def called(monkeypatch):
    """What a proxy gets when it calls what the shipped configuration names."""
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])
    variables = yaml.safe_load(CONFIG.read_text())["controller_options"]["runtime_env"]["env_vars"]
    return call_function_from_import_path(variables["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"])


@pytest.fixture
def seen(called):
    """Tells what is left of a scope behind the middlewares that the proxy wraps itself in."""
    wrap: Any
    (wrap,) = validate_http_proxy_callback_return(called)

    def pass_on(scope):
        left = []

        async def proxy(scope, _receive, _send):
            left.append(scope)

        asyncio.run(wrap.cls(proxy, *wrap.args)(scope, None, None))
        return left[0]

    return pass_on


# The names are spelled out: a release of Serve that renames one is to fail here.
@pytest.mark.parametrize(
    "name",
    [
        b"x-request-id",
        b"x-session-id",
        b"X_Session_Id",
        b"serve_multiplexed_model_id",
        b"serve-multiplexed-model-id",
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_what_serve_would_heed_is_removed_as_often_as_it_comes(seen, kind, name):
    headers = [(name, b"\xff"), (b"host", b"localhost"), (name, b"1")]
    assert seen({"type": kind, "headers": headers})["headers"] == [(b"host", b"localhost")]


def test_every_other_header_comes_through_in_its_order(seen):
    headers = [(b"cookie", b"a"), (b"x-request-id-2", b"\xff"), (b"cookie", b"b"), (b"x-api-key", b"k")]
    scope = {"type": "http", "path": "/health", "headers": headers}
    assert seen(scope) == scope


@pytest.mark.usefixtures("called")
def test_the_server_that_the_proxy_starts_next_ignores_offers_of_other_protocols():
    config = uvicorn.Config("tests:none", factory=True)
    config.load_app = lambda: lambda: None  # type: ignore[method-assign]
    config.load()
    assert config.http_protocol_class is UpgradeIgnoringProtocol


def test_what_has_no_headers_comes_through(seen):
    assert seen({"type": "lifespan"}) == {"type": "lifespan"}
