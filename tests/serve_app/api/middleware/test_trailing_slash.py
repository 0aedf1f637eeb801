"""A path with a slash at its end is the same as without."""

import asyncio

import pytest

from serve_app.access.api_keys import ApiKeys, KeyFile
from serve_app.access.signed_urls import UrlSigner
from serve_app.api.middleware.trailing_slash import TrailingSlashMiddleware
from serve_app.schemas import Health
from serve_app.tasks.manager import TaskManager
from tests.serve_app.local_api import local_api


def passed_on(path, **more):
    """The path behind the middleware."""
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope)

    asyncio.run(TrailingSlashMiddleware(app)({"type": "http", "path": path, **more}, None, None))
    return seen[0]["path"]


@pytest.mark.parametrize(
    ("path", "same_as"),
    [
        ("/tasks/", "/tasks"),
        ("/task/a//", "/task/a"),
        ("/task/a", "/task/a"),
        ("/", "/"),
        ("//", "/"),
        ("", ""),
    ],
)
def test_slashes_at_the_end_are_removed(path, same_as):
    assert passed_on(path) == same_as


@pytest.mark.parametrize(("path", "same_as"), [("/video/", "/video/"), ("/video/tasks/", "/video/tasks")])
def test_the_path_of_the_application_is_none_of_its_routes(path, same_as):
    assert passed_on(path, root_path="/video") == same_as


def test_what_is_no_request_is_passed_on():
    assert passed_on("/", type="lifespan") == "/"


class TestTheApi:
    @pytest.fixture(autouse=True)
    def _health(self, monkeypatch):
        """The manager of `local_api` has no actor, which would know the health of the engines."""
        monkeypatch.setattr(TaskManager, "health", lambda _manager: Health(), raising=False)

    @pytest.fixture
    def api(self, tmp_path, sqlite_journal):
        client = local_api(tmp_path, sqlite_journal)
        client.follow_redirects = False
        return client

    def test_takes_an_upload_without_a_redirect(self, api, astronaut_file, speech_file):
        files = {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}
        answer = api.post("/generate_video/", files=files, headers={"Origin": "https://a.example"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        task = api.get(f"/task/{answer.json()['task_id']}/", headers={"Origin": "https://a.example"})
        assert (task.status_code, task.headers["access-control-allow-origin"]) == (200, "*")

    @pytest.mark.parametrize(
        "path", ["/tasks", "/health", "/docs", "/openapi.json", "/task/x", "/download/x", "/nowhere"]
    )
    def test_answers_both_paths_alike(self, api, path):
        with_slash, without = api.get(f"{path}/"), api.get(path)
        assert with_slash.status_code == without.status_code
        assert with_slash.content == without.content

    def test_answers_both_preflights_alike(self, api):
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        with_slash = api.options("/generate_video/", headers=asked)
        assert with_slash.status_code == 200
        assert with_slash.headers == api.options("/generate_video", headers=asked).headers

    def test_asks_both_paths_for_the_same_key(self, tmp_path, sqlite_journal):
        file = tmp_path / "keys"
        sent = KeyFile(file).add("alice", admin=False)
        api = local_api(tmp_path, sqlite_journal, api_keys=file)
        assert api.get("/health/").status_code == 200
        assert api.get("/tasks/").status_code == 401

        keys = ApiKeys(file)
        signer = UrlSigner(tmp_path / "data" / "url_secret", keys, 300)
        path, query = signer.sign("/download/x", keys.find(sent)).split("?")
        # It is let in, and there is no such task.
        assert api.get(f"{path}/?{query}").status_code == 404

    @pytest.mark.parametrize("path", ["/static-offline-docs", "/static-offline-docs/", "/generate_video//x"])
    def test_redirects_nobody(self, api, path):
        assert api.get(path).status_code in (404, 405)
