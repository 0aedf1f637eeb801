"""What the API does when its neighbours change: name servers, engines, keys, the disk of the journal."""

import asyncio
import socket

import pytest

from serve_app.api_keys import KeyFile
from serve_app.engine_choice import EngineChoice
from serve_app.notifier import Notifier
from serve_app.task_store import TaskStore
from tests.serve_app.local_api import local_api

BOTH_ENGINES = EngineChoice("echomimic", {})
KEY = {"Idempotency-Key": "k"}


@pytest.fixture
def store(tmp_path):
    store = TaskStore(f"sqlite:///{tmp_path / 'tasks.db'}")
    yield store
    store.close()


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
        self, tmp_path, store, submit, names
    ):
        api = local_api(tmp_path, store)
        hook = {"webhook_url": "http://hooks.example.org/"}
        first = submit(api, KEY, **hook)
        names.clear()
        assert (first.status_code, submit(api, KEY, **hook).json()) == (200, first.json())
        assert submit(api, **hook).json()["error"]["field"] == "webhook_url"

    def test_is_answered_when_its_engine_is_no_longer_deployed(self, tmp_path, store, submit):
        first = submit(local_api(tmp_path, store, BOTH_ENGINES), KEY, engine="echomimic")
        later = local_api(tmp_path, store)
        assert (first.status_code, submit(later, KEY, engine="echomimic").json()) == (200, first.json())
        assert submit(later, engine="echomimic").json()["error"]["field"] == "engine"

    def test_is_refused_where_it_is_another_one(self, tmp_path, store, submit, names):
        api = local_api(tmp_path, store)
        submit(api, KEY)
        other = submit(api, KEY, webhook_url="http://unknown.example.org/")
        assert other.json()["error"]["type"] == "idempotency_key_reused"


class TestKeys:
    @pytest.fixture
    def as_(self, tmp_path, store):
        """The API as the holder of a key sees it; a name that has none gets one."""
        file = KeyFile(tmp_path / "api_keys.json")
        keys = {}

        def client(name, *, admin=False):
            if name not in keys:
                keys[name] = file.add(name, admin=admin)
            api = local_api(tmp_path, store, api_keys=str(tmp_path / "api_keys.json"))
            api.headers["X-API-Key"] = keys[name]
            return api

        return client

    def test_of_two_admins_may_come_with_the_same_idempotency_key(self, as_, submit):
        ids = [submit(as_(name, admin=True), KEY).json()["task_id"] for name in ("ann", "bob", "ann")]
        assert ids[0] == ids[2] != ids[1]

    def test_give_their_name_to_a_task_whoever_sees_it(self, as_, submit, store):
        ids = {
            name: submit(as_(name, admin=name != "carl")).json()["task_id"] for name in ("ann", "bob", "carl")
        }
        assert {name: store.get(task_id).owner for name, task_id in ids.items()} == {
            name: name for name in ids
        }

        def listed(name):
            return [task["task_id"] for task in as_(name).get("/tasks").json()["tasks"]]

        assert listed("ann") == listed("bob") == [*reversed(ids.values())]
        assert listed("carl") == [ids["carl"]]
        assert as_("ann").post(f"/task/{ids['carl']}/cancel").status_code == 200

    def test_do_not_help_a_webhook_whose_name_becomes_private(self, as_, submit, names, store, receiver):
        alice = as_("alice")
        url = f"http://hooks.example.org:{receiver.server_port}/hook"
        task_id = submit(alice, webhook_url=url).json()["task_id"]
        alice.post(f"/task/{task_id}/cancel")
        names["hooks.example.org"] = "127.0.0.1"

        async def notify():
            await Notifier(store, b"secret", allow_private=False).notify()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

        asyncio.run(notify())
        assert receiver.received == []
        assert store.get(task_id).webhook_failures == 1
