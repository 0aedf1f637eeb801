"""The end of a task is told until the receiver has taken note of it, whatever restarts."""

import asyncio
import json
from dataclasses import replace

import pytest

from serve_app.notifier import PAUSES_S, Notifier
from serve_app.task import TaskStatus
from tests.serve_app.tasks import new_task


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def notify(store, clock):
    """Makes one attempt at what is due."""

    def run():
        asyncio.run(Notifier(store, b"secret", allow_private=True, clock=clock).notify())

    return run


@pytest.fixture
def finished(store, receiver, clock):
    """Adds a task that has just ended and whose end is to be told; returns it."""

    def add(task_id="task", path="/hook", **changes):
        task = replace(
            new_task(task_id),
            status=TaskStatus.COMPLETED,
            stage=None,
            finished_at=clock.now,
            webhook_url=f"{receiver.url}{path}",
            webhook_at=clock.now,
        )
        return store.add(replace(task, **changes))

    return add


def test_the_message_tells_what_the_api_tells(finished, notify, receiver):
    finished()
    notify()
    ((_, headers, body),) = receiver.received
    message = json.loads(body)
    assert (headers["webhook-id"], message["type"]) == ("msg_task", "task.completed")
    assert message["data"]["task_id"] == "task"
    assert message["timestamp"] == message["data"]["finished_at"]


def test_what_was_taken_is_not_told_again(finished, notify, receiver, store):
    finished()
    notify()
    notify()
    assert len(receiver.received) == 1
    assert store.get("task").webhook_at is None


def test_a_failed_attempt_is_repeated_after_a_pause(finished, notify, receiver, store, clock):
    finished(path="/broken")
    notify()
    notify()
    assert len(receiver.received) == 1
    clock.now += PAUSES_S[0]
    notify()
    assert len(receiver.received) == 2
    assert {headers["webhook-id"] for _, headers, _ in receiver.received} == {"msg_task"}
    assert store.get("task").webhook_at == clock.now + PAUSES_S[1]


def test_after_the_last_attempt_it_is_given_up(finished, notify, receiver, store, clock):
    finished(path="/broken", webhook_failures=len(PAUSES_S))
    notify()
    assert store.get("task").webhook_at is None


def test_one_that_fails_does_not_hold_up_the_others(finished, notify, receiver):
    finished("first", path="/broken")
    finished("second")
    notify()
    assert sorted(path for path, _, _ in receiver.received) == ["/broken", "/hook"]


def test_a_task_without_a_webhook_is_told_to_nobody(finished, notify, receiver):
    finished(webhook_url=None, webhook_at=None)
    notify()
    assert receiver.received == []
