"""Who submits a task owns it, and an admin sees everybody's."""

import asyncio

import pytest

from serve_app.access.api_keys import KeyFile
from serve_app.tasks.notifier import Notifier
from tests.serve_app.local_api import local_api

KEY = {"Idempotency-Key": "k"}


class TestKeys:
    @pytest.fixture
    def as_(self, tmp_path, sqlite_journal):
        """The API as the holder of a key sees it; a name that has none gets one."""
        file = KeyFile(tmp_path / "api_keys.json")
        keys = {}

        def client(name, *, admin=False):
            if name not in keys:
                keys[name] = file.add(name, admin=admin)
            api = local_api(tmp_path, sqlite_journal, api_keys=str(tmp_path / "api_keys.json"))
            api.headers["X-API-Key"] = keys[name]
            return api

        return client

    def test_of_two_admins_may_come_with_the_same_idempotency_key(self, as_, submit):
        ids = [submit(as_(name, admin=True), KEY).json()["task_id"] for name in ("ann", "bob", "ann")]
        assert ids[0] == ids[2] != ids[1]

    def test_give_their_name_to_a_task_whoever_sees_it(self, as_, submit, sqlite_journal):
        ids = {
            name: submit(as_(name, admin=name != "carl")).json()["task_id"] for name in ("ann", "bob", "carl")
        }
        assert {name: sqlite_journal.get(task_id).owner for name, task_id in ids.items()} == {
            name: name for name in ids
        }

        def listed(name):
            return [task["task_id"] for task in as_(name).get("/tasks").json()["tasks"]]

        assert listed("ann") == listed("bob") == [*reversed(ids.values())]
        assert listed("carl") == [ids["carl"]]
        assert as_("ann").post(f"/task/{ids['carl']}/cancel").status_code == 200

    def test_do_not_help_a_webhook_whose_name_becomes_private(
        self, as_, submit, names, sqlite_journal, receiver
    ):
        alice = as_("alice")
        url = f"http://hooks.example.org:{receiver.server_port}/hook"
        task_id = submit(alice, webhook_url=url).json()["task_id"]
        alice.post(f"/task/{task_id}/cancel")
        names["hooks.example.org"] = "127.0.0.1"

        async def notify():
            await Notifier(sqlite_journal, b"secret", allow_private=False).notify()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

        asyncio.run(notify())
        assert receiver.received == []
        assert sqlite_journal.get(task_id).webhook_failures == 1
