"""What the API does when its neighbours change: name servers, engines, keys, the disk of the journal."""

import asyncio
import socket
import threading
from dataclasses import replace

import httpx
import pytest

from serve_app.access.api_keys import KeyFile
from serve_app.engines.choice import EngineChoice
from serve_app.errors import JournalUnavailable, StorageFull
from serve_app.storage.local import Storage
from serve_app.task import TaskStatus
from serve_app.tasks import webhooks
from serve_app.tasks.journal import Journal
from serve_app.tasks.notifier import Notifier
from serve_app.tasks.overview import Overview
from tests.serve_app.local_api import local_api
from tests.serve_app.lost_answers import losing_answers

BOTH_ENGINES = EngineChoice("echomimic", {})
KEY = {"Idempotency-Key": "k"}
PREFLIGHT = {"Origin": "null", "Access-Control-Request-Method": "POST"}


@pytest.fixture
def journal(tmp_path):
    journal = Journal(f"sqlite:///{tmp_path / 'tasks.db'}")
    yield journal
    journal.close()


@pytest.fixture
def names(monkeypatch):
    """What the name server says: name -> address."""
    known = {"hooks.example.org": "1.1.1.1"}

    def getaddrinfo(host, port, *_arguments, **_options):
        if host not in known:
            raise socket.gaierror("temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.fixture
def submit(astronaut_file, speech_file):
    """Sends the form with these fields."""

    def send(api, headers=None, **fields):
        files = {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}
        return api.post("/generate_video", files=files, data=fields, headers=headers)

    return send


class TestARepeatedRequest:
    def test_is_answered_while_the_name_of_its_webhook_cannot_be_resolved(
        self, tmp_path, journal, submit, names
    ):
        api = local_api(tmp_path, journal)
        hook = {"webhook_url": "http://hooks.example.org/"}
        first = submit(api, KEY, **hook)
        names.clear()
        assert (first.status_code, submit(api, KEY, **hook).json()) == (200, first.json())
        assert submit(api, **hook).json()["error"]["field"] == "webhook_url"

    def test_is_answered_when_its_engine_is_no_longer_deployed(self, tmp_path, journal, submit):
        first = submit(local_api(tmp_path, journal, BOTH_ENGINES), KEY, engine="echomimic")
        later = local_api(tmp_path, journal)
        assert (first.status_code, submit(later, KEY, engine="echomimic").json()) == (200, first.json())
        assert submit(later, engine="echomimic").json()["error"]["field"] == "engine"

    def test_is_answered_where_no_room_is_left(self, tmp_path, journal, submit, monkeypatch):
        api = local_api(tmp_path, journal)
        first = submit(api, KEY)

        def full(*_arguments):
            raise StorageFull

        monkeypatch.setattr(Storage, "save_upload", full)
        assert (first.status_code, submit(api, KEY).json()) == (200, first.json())
        assert submit(api).status_code == 507
        other = submit(api, KEY, seed="7")
        assert other.json()["error"]["type"] == "idempotency_key_reused"

    def test_is_made_where_its_task_was_removed_just_now(self, tmp_path, journal, submit, monkeypatch):
        api = local_api(tmp_path, journal)

        def knows(*_arguments):
            return True

        monkeypatch.setattr(Overview, "knows", knows)
        task_id = submit(api, KEY).json()["task_id"]
        uploads = Storage(tmp_path / "data")
        assert journal.get(task_id).idempotency_key == "k"
        assert uploads.reference_image(task_id).stat().st_size > 0
        assert uploads.audio_file(task_id).stat().st_size > 0

    def test_finds_its_files_where_only_the_journal_s_answer_was_lost(
        self, tmp_path, journal, submit, astronaut_file, speech_file
    ):
        api = local_api(tmp_path, journal)
        with losing_answers(journal, "add"):
            assert submit(api, KEY).status_code == 503
        task_id = submit(api, KEY).json()["task_id"]
        uploads = Storage(tmp_path / "data")
        assert uploads.reference_image(task_id).read_bytes() == astronaut_file.read_bytes()
        assert uploads.audio_file(task_id).read_bytes() == speech_file.read_bytes()

    def test_leaves_no_files_where_nothing_was_journalled(self, tmp_path, journal, submit, monkeypatch):
        api = local_api(tmp_path, journal)

        def away(_task):
            raise JournalUnavailable

        monkeypatch.setattr(journal, "add", away)
        assert submit(api, KEY).status_code == 503
        assert list((tmp_path / "data" / "uploads").iterdir()) == []

    def test_is_refused_where_it_is_another_one(self, tmp_path, journal, submit, names):
        api = local_api(tmp_path, journal)
        submit(api, KEY)
        other = submit(api, KEY, webhook_url="http://unknown.example.org/")
        assert other.json()["error"]["type"] == "idempotency_key_reused"


class TestKeys:
    @pytest.fixture
    def as_(self, tmp_path, journal):
        """The API as the holder of a key sees it; a name that has none gets one."""
        file = KeyFile(tmp_path / "api_keys.json")
        keys = {}

        def client(name, *, admin=False):
            if name not in keys:
                keys[name] = file.add(name, admin=admin)
            api = local_api(tmp_path, journal, api_keys=str(tmp_path / "api_keys.json"))
            api.headers["X-API-Key"] = keys[name]
            return api

        return client

    def test_of_two_admins_may_come_with_the_same_idempotency_key(self, as_, submit):
        ids = [submit(as_(name, admin=True), KEY).json()["task_id"] for name in ("ann", "bob", "ann")]
        assert ids[0] == ids[2] != ids[1]

    def test_give_their_name_to_a_task_whoever_sees_it(self, as_, submit, journal):
        ids = {
            name: submit(as_(name, admin=name != "carl")).json()["task_id"] for name in ("ann", "bob", "carl")
        }
        assert {name: journal.get(task_id).owner for name, task_id in ids.items()} == {
            name: name for name in ids
        }

        def listed(name):
            return [task["task_id"] for task in as_(name).get("/tasks").json()["tasks"]]

        assert listed("ann") == listed("bob") == [*reversed(ids.values())]
        assert listed("carl") == [ids["carl"]]
        assert as_("ann").post(f"/task/{ids['carl']}/cancel").status_code == 200

    def test_do_not_help_a_webhook_whose_name_becomes_private(self, as_, submit, names, journal, receiver):
        alice = as_("alice")
        url = f"http://hooks.example.org:{receiver.server_port}/hook"
        task_id = submit(alice, webhook_url=url).json()["task_id"]
        alice.post(f"/task/{task_id}/cancel")
        names["hooks.example.org"] = "127.0.0.1"

        async def notify():
            await Notifier(journal, b"secret", allow_private=False).notify()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

        asyncio.run(notify())
        assert receiver.received == []
        assert journal.get(task_id).webhook_failures == 1


class TestAFullDisk:
    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "/task/{task_id}/cancel"), ("DELETE", "/task/{task_id}")]
    )
    def test_is_a_documented_answer(self, tmp_path, journal, submit, monkeypatch, method, path):
        api = local_api(tmp_path, journal)
        task_id = submit(api).json()["task_id"]

        def full(*_arguments):
            raise StorageFull

        monkeypatch.setattr(journal, "save", full)
        answer = api.request(method, path.format(task_id=task_id))
        assert (answer.status_code, answer.json()["error"]["type"]) == (507, "storage_full")
        assert "507" in api.get("/openapi.json").json()["paths"][path][method.lower()]["responses"]


class TestAWebhook:
    def test_whose_name_server_does_not_answer_is_accepted_and_looked_up_later(
        self, tmp_path, journal, submit, monkeypatch
    ):
        answer = threading.Event()
        monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.1)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: answer.wait(30))
        task_id = submit(local_api(tmp_path, journal), webhook_url="http://slow.example.org/").json()[
            "task_id"
        ]
        answer.set()
        assert journal.get(task_id).webhook_url == "http://slow.example.org/"


class TestAVideo:
    def test_that_is_removed_while_it_is_asked_for_is_gone(self, tmp_path, journal, submit, monkeypatch):
        api = local_api(tmp_path, journal)
        task_id = submit(api).json()["task_id"]
        task = journal.get(task_id)
        journal.save(replace(task, status=TaskStatus.COMPLETED, video="attempt-1.mp4", finished_at=1.0))
        video = Storage(tmp_path / "data").video(task_id, "attempt-1.mp4")
        video.parent.mkdir(parents=True)
        video.write_bytes(b"content")
        later = local_api(tmp_path, journal)
        assert later.get(f"/download/{task_id}").content == b"content"
        video.unlink()
        answer = later.get(f"/download/{task_id}")
        assert (answer.status_code, answer.json()["error"]["type"]) == (410, "video_gone")


class Decoder:
    def __init__(self):
        self.at_work = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, _path):
        self.at_work.set()
        assert self.go_on.wait(60)


class TestUploadsAtOnce:
    """With one place: a second request is refused while a first one is received."""

    @pytest.fixture
    def application(self, tmp_path, journal, monkeypatch):
        monkeypatch.setattr("serve_app.api.routes._RECEIVED_AT_ONCE", 1)
        return local_api(tmp_path, journal).app

    @pytest.fixture
    def decoder(self, monkeypatch):
        """Decodes no image until it is told to."""
        decoder = Decoder()
        monkeypatch.setattr("serve_app.api.routes.check_image", decoder)
        yield decoder
        decoder.go_on.set()

    @pytest.fixture
    def send(self, application, astronaut_file, speech_file):
        files = {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}

        async def post(client):
            return await client.post("/generate_video", files=files)

        return post

    def with_client(self, application, script):
        async def run():
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                await script(client)

        asyncio.run(run())

    def test_are_bounded_and_leave_the_other_routes_alone(self, application, decoder, send):
        async def script(client):
            first = asyncio.create_task(send(client))
            await asyncio.to_thread(decoder.at_work.wait, 10)
            assert await refused(client, send)
            assert (await client.get("/tasks")).status_code == 200
            decoder.go_on.set()
            assert (await first).status_code == 200
            assert (await send(client)).status_code == 200

        self.with_client(application, script)

    def test_of_clients_that_hung_up_count_until_they_are_dealt_with(self, application, decoder, send):
        async def script(client):
            first = asyncio.create_task(send(client))
            await asyncio.to_thread(decoder.at_work.wait, 10)
            first.cancel()
            await asyncio.wait([first])
            assert await refused(client, send)
            decoder.go_on.set()
            while await refused(client, send):
                await asyncio.sleep(0.05)

        self.with_client(application, script)


async def refused(client, send):
    answer = await send(client)
    return answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1


class TestTheDocumentation:
    @pytest.fixture
    def responses(self, tmp_path, journal):
        """The documented answers of every operation."""
        paths = local_api(tmp_path, journal).get("/openapi.json").json()["paths"]
        return {
            (method, path): set(operation["responses"])
            for path, operations in paths.items()
            for method, operation in operations.items()
        }

    @pytest.mark.parametrize("status", ["400", "413"])
    def test_says_that_every_route_refuses_foreign_hosts_and_large_bodies(self, responses, status):
        assert [operation for operation, statuses in responses.items() if status not in statuses] == []

    def test_says_what_becomes_of_a_range_beyond_the_end(self, responses):
        assert "416" in responses["get", "/download/{task_id}"]


class TestPreflights:
    def test_for_hosts_that_are_not_ours_are_refused(self, tmp_path, journal):
        headers = {**PREFLIGHT, "Host": "rebound.example.org"}
        answer = local_api(tmp_path, journal).options("/generate_video", headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "host_not_allowed")

    def test_for_the_contract_s_routes_are_allowed_to_every_page(self, tmp_path, journal):
        answer = local_api(tmp_path, journal).options("/generate_video", headers=PREFLIGHT)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")

    def test_that_are_refused_say_so_as_all_errors_do(self, tmp_path, journal):
        answer = local_api(tmp_path, journal).options("/tasks", headers=PREFLIGHT)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "bad_request")
        assert answer.json()["detail"] == "Disallowed CORS origin"
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-origin" not in answer.headers
