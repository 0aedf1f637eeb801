"""The end of a task is told until the receiver has taken note of it, whatever restarts."""

import asyncio
import json
from dataclasses import replace

import pytest

from models.progress import Progress
from serve_app.errors import StorageFull
from serve_app.task import TaskStatus
from serve_app.tasks.notifier import PAUSES_S, Notifier
from serve_app.tasks.webhooks import TIMEOUT_S, deliver
from tests.serve_app.new_tasks import new_task


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def notifier(journal, clock):
    return Notifier(journal, b"secret", allow_private=True, clock=clock)


@pytest.fixture
def notify(notifier):
    """Makes one attempt at what is due, and waits until all have ended."""

    async def run():
        await notifier.notify()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    return lambda: asyncio.run(run())


@pytest.fixture
def finished(journal, receiver, clock):
    """Adds a task that has just ended and whose end is to be told; returns it."""

    def add(task_id="task", path="/hook", **changes):
        task = replace(
            new_task(task_id),
            status=TaskStatus.COMPLETED,
            progress=Progress(stage=None, fraction=1.0),
            finished_at=clock.now,
            webhook_url=f"{receiver.url}{path}",
            webhook_at=clock.now,
        )
        return journal.add(replace(task, **changes))

    return add


def test_the_message_tells_what_the_api_tells(finished, notify, receiver):
    finished()
    notify()
    ((_, headers, body),) = receiver.received
    message = json.loads(body)
    assert (headers["webhook-id"], message["type"]) == ("msg_task", "task.completed")
    assert message["data"]["task_id"] == "task"
    assert message["timestamp"] == message["data"]["finished_at"]


def test_what_was_taken_is_not_told_again(finished, notify, receiver, journal):
    finished()
    notify()
    notify()
    assert len(receiver.received) == 1
    assert journal.get("task").webhook_at is None


def test_a_failed_attempt_is_repeated_after_a_pause(finished, notify, receiver, journal, clock):
    finished(path="/broken")
    notify()
    notify()
    assert len(receiver.received) == 1
    clock.now += PAUSES_S[0]
    notify()
    assert len(receiver.received) == 2
    assert {headers["webhook-id"] for _, headers, _ in receiver.received} == {"msg_task"}
    assert journal.get("task").webhook_at == clock.now + PAUSES_S[1]


def test_after_the_last_attempt_it_is_given_up(finished, notify, receiver, journal, clock):
    finished(path="/broken", webhook_failures=len(PAUSES_S))
    notify()
    assert journal.get("task").webhook_at is None


def test_one_that_fails_does_not_hold_up_the_others(finished, notify, receiver):
    finished("first", path="/broken")
    finished("second")
    notify()
    assert sorted(path for path, _, _ in receiver.received) == ["/broken", "/hook"]


def test_a_task_without_a_webhook_is_told_to_nobody(finished, notify, receiver):
    finished(webhook_url=None, webhook_at=None)
    notify()
    assert receiver.received == []


def test_one_that_never_ends_does_not_hold_up_those_that_come_later(finished, notifier, receiver, journal):
    async def run():
        finished("first", path="/slow")
        await notifier.notify()
        finished("second")
        await notifier.notify()
        while journal.get("second").webhook_at is not None:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), TIMEOUT_S / 2))
    assert sorted(path for path, _, _ in receiver.received) == ["/hook", "/slow"]


def test_one_that_is_under_way_is_not_sent_again(finished, notifier, receiver):
    async def run():
        finished(path="/slow")
        await notifier.notify()
        while not receiver.received:
            await asyncio.sleep(0.01)
        await notifier.notify()
        await asyncio.sleep(0.2)

    asyncio.run(run())
    assert len(receiver.received) == 1


def test_an_error_that_nobody_foresaw_puts_off_that_one_alone(
    finished, notify, receiver, journal, clock, monkeypatch
):
    async def fail_for_the_first(url, message_id, *arguments, **options):
        if message_id == "msg_first":
            raise OverflowError("port must be 0-65535")
        await deliver(url, message_id, *arguments, **options)

    monkeypatch.setattr("serve_app.tasks.notifier.deliver", fail_for_the_first)
    finished("first")
    finished("second")
    notify()
    assert [headers["webhook-id"] for _, headers, _ in receiver.received] == ["msg_second"]
    assert (journal.get("first").webhook_failures, journal.get("first").webhook_at) == (
        1,
        clock.now + PAUSES_S[0],
    )


def test_a_url_that_an_earlier_release_took_is_put_off(finished, notify, journal):
    finished(webhook_url="http://127.0.0.1:99999/")
    notify()
    assert journal.get("task").webhook_failures == 1


def test_what_the_journal_cannot_take_note_of_is_noted_later_and_not_sent_again(
    finished, notify, receiver, journal, monkeypatch
):
    def full(_task):
        raise StorageFull

    finished("taken")
    finished("refused", path="/broken")
    with monkeypatch.context() as disk:
        disk.setattr(journal, "save", full)
        notify()
        notify()
        assert len(receiver.received) == 2
    notify()
    assert len(receiver.received) == 2
    assert journal.get("taken").webhook_at is None
    assert journal.get("refused").webhook_failures == 1
