"""With API keys, nobody gets in without one: to no route, and to nobody else's tasks."""

import asyncio
import contextlib
import http.client
import json
import time
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from serve_app.access.api_keys import ApiKeys, KeyFile
from serve_app.access.signed_urls import UrlSigner
from serve_app.api.application import create_api
from serve_app.api.caller import RequestCaller
from serve_app.api.middleware.access import OPEN_PATHS, AccessMiddleware
from serve_app.client import ClientError, EchoMimicClient
from serve_app.engines.choice import EngineChoice
from serve_app.engines.registry import deployments
from serve_app.settings import Settings
from serve_app.tasks.manager_client import ManagerClient
from tests.serve_app.hostile_paths import DETOURS, FOLDERS, TRAVERSALS, get
from tests.service import Service

LIFETIME_S = 300


def api(settings):
    return create_api(
        settings,
        EngineChoice("preview", {"echomimic": "no weights"}),
        ManagerClient(settings, deployments(), 1),
    )


def all_routes():
    """Method and path of everything the application answers to, so that no new route is forgotten."""
    for route in iter_route_contexts(api(Settings()).routes):
        if isinstance(route.original_route, Mount):
            yield "GET", f"{route.path}/swagger-ui.css"
        else:
            yield from ((method, route.path) for method in route.methods)


CLOSED = sorted(route for route in all_routes() if route[1] not in OPEN_PATHS)
OF_A_TASK = [route for route in CLOSED if "{task_id}" in route[1]]
UNSIGNED = [route for route in CLOSED if route[1] != "/download/{task_id}"]
READING = [route for route in CLOSED if route[0] in ("GET", "HEAD")]


class Guarded:
    """A running service with keys, and the ways to come to it."""

    def __init__(self, running: Service, file: KeyFile):
        self.service = running
        self.anonymous = running.http
        self.file = file
        self.keys: dict[str, str] = {}
        self._callers = contextlib.ExitStack()

    def add(self, name: str, *, admin: bool = False) -> None:
        self.keys[name] = self.file.add(name, admin=admin)

    def as_(self, name: str) -> Service:
        """The service as the holder of this key sees it."""
        running = self.service
        caller = Service(running.process, running.port, running.folder, running.temporary)
        caller.http.headers["Authorization"] = f"Bearer {self.keys[name]}"
        return self._callers.enter_context(contextlib.closing(caller))

    def close(self) -> None:
        self._callers.close()


@pytest.fixture(scope="module")
def guarded(run_service, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    KeyFile(folder / "api_keys.json").add("first", admin=False)
    arguments = {"api_keys": str(folder / "api_keys.json"), "signed_url_lifetime_s": LIFETIME_S}
    with run_service(folder, cors_origins=["https://studio.example.org"], **arguments) as running:
        guarded = Guarded(running, KeyFile(folder / "api_keys.json"))
        for name in ("alice", "bob", "root", "former"):
            guarded.add(name, admin=name == "root")
        guarded.file.revoke("former")
        yield guarded
        guarded.close()


@pytest.fixture(scope="module")
def video(guarded, astronaut_file, speech_file):
    """A completed task of alice."""
    alice = guarded.as_("alice")
    task = alice.wait(alice.submit(astronaut_file, speech_file, width=128, height=128, length=4))
    assert task["status"] == "completed"
    return task


def call(http, route, task_id="anything", **options):
    method, path = route
    return http.request(method, path.replace("{task_id}", task_id), **options)


def assert_refused(response, status_code, kind):
    assert response.status_code == status_code, response.text
    if response.request.method != "HEAD":
        body = response.json()
        assert body["error"]["type"] == kind
        assert body["detail"] == body["error"]["message"] != ""
    if status_code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")


class TestEveryRoute:
    def test_the_list_is_not_empty(self):
        assert {("POST", "/generate_video"), ("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json")} <= {
            *CLOSED
        }

    @pytest.mark.parametrize("route", CLOSED, ids=str)
    def test_needs_a_key(self, guarded, route):
        assert_refused(call(guarded.anonymous, route), 401, "unauthorized")

    @pytest.mark.parametrize("route", CLOSED, ids=str)
    def test_needs_one_that_is_known(self, guarded, route):
        former = guarded.keys["former"]
        for headers in (
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Bearer"},
            {"Authorization": f"Bearer {former}"},
            {"Authorization": f"Basic {guarded.keys['alice']}"},
            {"Authorization": guarded.keys["alice"]},
            {"X-API-Key": "wrong"},
            {"X-API-Key": former},
            {"X-API-Key": ""},
        ):
            assert_refused(call(guarded.anonymous, route, headers=headers), 401, "unauthorized")

    @pytest.mark.parametrize("route", CLOSED, ids=str)
    def test_lets_a_known_one_in_by_both_headers(self, guarded, route):
        key = guarded.keys["alice"]
        for headers in (
            {"Authorization": f"Bearer {key}"},
            {"authorization": f"bearer {key}"},
            {"X-API-Key": key},
        ):
            assert call(guarded.anonymous, route, headers=headers).status_code not in (401, 403)

    @pytest.mark.parametrize("route", CLOSED, ids=str)
    def test_takes_no_key_from_the_url(self, guarded, route):
        key = guarded.keys["alice"]
        for query in ({"key": key}, {"api_key": key}, {"X-API-Key": key}, {"access_token": key}):
            assert_refused(call(guarded.anonymous, route, params=query), 401, "unauthorized")

    @pytest.mark.parametrize("route", CLOSED, ids=str)
    def test_answers_for_no_other_host(self, guarded, route):
        alice = guarded.as_("alice")
        for host in ("rebound.example.org", f"rebound.example.org:{alice.port}", "127.0.0.1.example.org", ""):
            assert_refused(call(alice.http, route, headers={"Host": host}), 400, "host_not_allowed")

    @pytest.mark.parametrize("route", READING, ids=str)
    def test_opens_by_no_signed_url_that_was_altered(self, guarded, video, route):
        _, query = split(video["download_url"])
        for change in ({"key": "root"}, {"expires": "99999999999"}, {"signature": "0" * 64}):
            response = call(guarded.anonymous, route, video["task_id"], params={**query, **change})
            assert_refused(response, 403, "link_refused")

    @pytest.mark.parametrize("route", UNSIGNED, ids=str)
    def test_opens_by_no_signed_url_of_another(self, guarded, video, route):
        _, query = split(video["download_url"])
        response = call(guarded.anonymous, route, video["task_id"], params=query)
        assert response.status_code == (403 if route in READING else 401)

    def test_in_the_documentation_says_that_it_needs_a_key(self, guarded):
        schema = guarded.as_("alice").http.get("/openapi.json").json()
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                assert bool(operation.get("security")) == (path not in OPEN_PATHS)
                assert ("401" in operation["responses"]) == (path not in OPEN_PATHS)


class TestTasksOfOthers:
    @pytest.mark.parametrize("route", OF_A_TASK, ids=str)
    def test_are_not_there(self, guarded, video, route):
        assert_refused(call(guarded.as_("bob").http, route, video["task_id"]), 404, "task_not_found")

    def test_are_in_no_list(self, guarded, video):
        def listed(name):
            return [task["task_id"] for task in guarded.as_(name).http.get("/tasks").json()["tasks"]]

        assert video["task_id"] not in listed("bob")
        assert video["task_id"] in listed("alice")
        assert video["task_id"] in listed("root")

    def test_are_not_found_by_their_idempotency_key(self, guarded, astronaut_file, speech_file):
        def submit(name):
            caller = guarded.as_(name)
            caller.http.headers["Idempotency-Key"] = "the same for all"
            return caller.submit(astronaut_file, speech_file, width=128, height=128, length=2)

        assert submit("alice") == submit("alice")
        assert submit("alice") != submit("bob")


class TestPaths:
    @pytest.mark.parametrize("name", TRAVERSALS, ids=lambda name: name[:24])
    @pytest.mark.parametrize("folder", FOLDERS)
    def test_lead_out_of_no_folder_with_a_key_and_nowhere_without(self, guarded, folder, name):
        status, _, body = get(guarded.service, folder + name, {"X-API-Key": guarded.keys["alice"]})
        assert status in (400, 404), body
        assert json.loads(body)["error"]["type"] in ("task_not_found", "not_found", "bad_request")
        status, _, body = get(guarded.service, folder + name)
        assert (status, json.loads(body)["error"]["type"]) == (401, "unauthorized")

    @pytest.mark.parametrize("detour", DETOURS)
    def test_to_another_s_task_are_none(self, guarded, video, detour):
        path = detour.format(task_id=video["task_id"])
        status, _, body = get(guarded.service, path, {"X-API-Key": guarded.keys["bob"]})
        assert status in (307, 404), body
        assert get(guarded.service, path)[0] == 401


class TestOwnTasks:
    def test_are_there(self, guarded, video):
        for name in ("alice", "root"):
            caller = guarded.as_(name)
            assert caller.task(video["task_id"])["status"] == "completed"
            assert caller.http.get(f"/download/{video['task_id']}").content[4:8] == b"ftyp"

    def test_are_there_for_the_python_client(
        self, guarded, tmp_path, astronaut_file, speech_file, monkeypatch
    ):
        with (
            EchoMimicClient(guarded.service.url) as client,
            pytest.raises(ClientError, match="needs an API key"),
        ):
            client.task("anything")
        monkeypatch.setenv("ECHOMIMIC_API_KEY", guarded.keys["bob"])
        with EchoMimicClient(guarded.service.url) as client:
            task_id = client.generate_video(astronaut_file, speech_file, width=128, height=128, length=2)
            client.wait(task_id, lambda task: None)
            client.download(task_id, tmp_path / "video.mp4")
        assert (tmp_path / "video.mp4").read_bytes()[4:8] == b"ftyp"


def split(url):
    return urlsplit(url).path, dict(parse_qsl(urlsplit(url).query))


class TestSignedUrls:
    def test_open_the_video_without_a_key(self, guarded, video):
        anonymous = guarded.anonymous
        whole = anonymous.get(video["download_url"])
        assert whole.status_code == 200
        assert whole.content[4:8] == b"ftyp"
        assert anonymous.head(video["download_url"]).headers["content-length"] == str(len(whole.content))
        part = anonymous.get(video["download_url"], headers={"Range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")

    def test_last_as_long_as_the_setting_says(self, video):
        _, query = split(video["download_url"])
        assert LIFETIME_S - 60 < int(query["expires"]) - time.time() <= LIFETIME_S

    def test_are_made_for_nobody_but_who_asks(self, guarded, video):
        _, query = split(guarded.as_("root").task(video["task_id"])["download_url"])
        assert query["key"] == "root"

    def test_expire(self, guarded, video):
        data = guarded.service.folder / "data"
        keys = ApiKeys(guarded.service.folder / "api_keys.json")
        # The same secret, some time ago.
        signer = UrlSigner(data / "url_secret", keys, 60, clock=lambda: time.time() - 61)
        url = signer.sign(f"/download/{video['task_id']}", keys.named("alice"))
        response = guarded.anonymous.get(url)
        assert_refused(response, 403, "link_refused")
        assert "has expired" in response.json()["detail"]

    def test_end_with_their_key(self, guarded, video):
        guarded.add("brief", admin=True)
        url = guarded.as_("brief").task(video["task_id"])["download_url"]
        assert guarded.anonymous.get(url).status_code == 200
        guarded.file.revoke("brief")
        assert_refused(guarded.anonymous.get(url), 403, "link_refused")

    def test_give_no_way_to_another_s_video(self, guarded, video):
        path, query = split(video["download_url"])
        response = guarded.anonymous.get(f"{path}/../../task/{video['task_id']}?{urlencode(query)}")
        assert_refused(response, 403, "link_refused")

    def test_are_in_no_log(self, guarded, video):
        _, query = split(video["download_url"])
        guarded.anonymous.get(video["download_url"])
        assert query["signature"] not in (guarded.service.folder / "serve.log").read_text()


class TestKeys:
    def test_come_and_go_without_a_restart(self, guarded):
        guarded.add("guest")
        assert guarded.as_("guest").http.get("/openapi.json").status_code == 200
        guarded.file.revoke("guest")
        assert_refused(guarded.as_("guest").http.get("/openapi.json"), 401, "unauthorized")

    def test_are_asked_for_before_a_body_is_sent(self, guarded):
        connection = http.client.HTTPConnection("127.0.0.1", guarded.service.port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest("POST", "/generate_video")
            connection.putheader("Content-Type", "multipart/form-data; boundary=x")
            connection.putheader("Content-Length", "1000")
            connection.endheaders()
            assert connection.getresponse().status == 401

    def test_that_cannot_be_read_let_nobody_in_and_health_says_so(self, guarded):
        path = guarded.service.folder / "api_keys.json"
        content = path.read_bytes()
        path.write_text("[")
        try:
            assert_refused(guarded.as_("root").http.get("/openapi.json"), 503, "keys_unavailable")
            health = guarded.anonymous.get("/health").json()
            assert not health["ready"]
            assert "API keys cannot be read" in health["reason"]
        finally:
            path.write_bytes(content)
        assert guarded.as_("root").http.get("/openapi.json").status_code == 200

    def test_are_in_no_log(self, guarded):
        assert guarded.as_("alice").http.get("/openapi.json").status_code == 200
        log = (guarded.service.folder / "serve.log").read_text()
        assert not any(key in log for key in guarded.keys.values())


class TestHealth:
    @pytest.mark.parametrize("path", ["/health", "/health/"])
    def test_is_open(self, guarded, path):
        assert guarded.anonymous.get(path).json()["ready"]

    @pytest.mark.parametrize("path", ["//health", "/health/../task/x", "/HEALTH", "/health;x", "/x/health"])
    def test_opens_nothing_else(self, guarded, path):
        response = guarded.anonymous.get(guarded.service.url + path)
        assert response.status_code in (401, 404)


PREFLIGHT = {
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization,x-api-key",
}


class TestOtherOrigins:
    @pytest.mark.parametrize(
        ("origin", "path"),
        [
            ("null", "/generate_video"),
            ("https://example.org", "/task/x"),
            ("https://studio.example.org", "/openapi.json"),
        ],
    )
    def test_may_ask_without_a_key_whether_they_may_send_one(self, guarded, origin, path):
        response = guarded.anonymous.options(path, headers={"Origin": origin, **PREFLIGHT})
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] in ("*", origin)
        allowed = response.headers["access-control-allow-headers"].lower()
        assert "authorization" in allowed
        assert "x-api-key" in allowed

    def test_that_are_not_configured_may_not(self, guarded):
        headers = {"Origin": "https://example.org", **PREFLIGHT}
        response = guarded.anonymous.options("/openapi.json", headers=headers)
        assert_refused(response, 400, "bad_request")
        assert "access-control-allow-origin" not in response.headers

    def test_are_told_why_they_are_refused(self, guarded):
        response = guarded.anonymous.get("/task/x", headers={"Origin": "https://example.org"})
        assert_refused(response, 401, "unauthorized")
        assert response.headers["access-control-allow-origin"] == "*"

    def test_get_in_with_a_key(self, guarded):
        headers = {"Origin": "https://example.org"}
        response = guarded.as_("alice").http.get("/task/x", headers=headers)
        assert_refused(response, 404, "task_not_found")
        assert response.headers["access-control-allow-origin"] == "*"


class TestWhatARouteIsTold:
    @pytest.fixture
    def ask(self, tmp_path):
        """Asks a route whose tasks it sees and how it signs, with a state that all requests share."""
        file = KeyFile(tmp_path / "api_keys.json")
        sent = {name: file.add(name, admin=name == "root") for name in ("alice", "root")}
        keys = ApiKeys(tmp_path / "api_keys.json")
        app = FastAPI()
        shared: dict[str, object] = {}

        @app.get("/health")
        @app.get("/who")
        async def who(caller: RequestCaller) -> dict[str, str | None]:
            return {"owner": caller.owner, "sees": caller.sees, "url": caller.sign_url("/video")}

        guarded = AccessMiddleware(app, keys, UrlSigner(tmp_path / "secret", keys, 60))

        async def with_shared_state(scope, receive, send):
            await guarded({**scope, "state": shared}, receive, send)

        async def get(name, path="/who"):
            headers = {"X-API-Key": sent[name]} if name else {}
            transport = httpx.ASGITransport(with_shared_state)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return (await client.get(path, headers=headers)).json()

        return lambda *arguments: asyncio.run(get(*arguments))

    def test_is_the_name_of_the_key(self, ask):
        assert (ask("alice")["owner"], ask("alice")["sees"]) == ("alice", "alice")
        assert ask("alice")["url"].startswith("/video?key=alice&expires=")

    def test_is_that_an_admin_owns_what_it_submits_and_sees_everything(self, ask):
        assert (ask("root")["owner"], ask("root")["sees"]) == ("root", None)
        assert ask("root")["url"].startswith("/video?key=root&")

    def test_does_not_stay_for_the_next_request(self, ask):
        ask("root")
        assert ask(None, "/health") == {"owner": None, "sees": None, "url": "/video"}


def test_without_keys_everything_is_open_and_nothing_is_signed(service, astronaut_file, speech_file):
    task = service.wait(service.submit(astronaut_file, speech_file, width=128, height=128, length=2))
    assert task["download_url"] == f"/download/{task['task_id']}"
    assert not (service.folder / "data" / "url_secret").exists()
    assert "security" not in service.http.get("/openapi.json").text
