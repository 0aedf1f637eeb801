"""More tasks than may wait, or than the disk has room for, are refused."""

import pickle

import pytest

from serve_app.errors import QueueFull, StorageFull
from serve_app.task import TaskStatus
from tests.serve_app.managers import start
from tests.serve_app.new_tasks import new_task, report_of


class TestPressure:
    @pytest.fixture
    def crowded(self, journal, clock):
        """A manager with two places, both taken."""
        manager = start(journal, clock, max_pending=2)
        for name in "ab":
            manager.submit(new_task(name, idempotency_key=name))
        return manager

    def test_more_tasks_than_may_wait_are_refused(self, crowded):
        with pytest.raises(QueueFull, match="2 tasks are pending"):
            crowded.submit(new_task("c"))
        with pytest.raises(QueueFull):
            crowded.admit(owner=None, idempotency_key="c")
        assert crowded.overview.counts()[TaskStatus.PENDING] == 2

    def test_one_owner_cannot_take_every_place(self, journal, clock):
        manager = start(journal, clock, max_pending_per_key=1)
        manager.submit(new_task("a", owner="alice"))
        with pytest.raises(QueueFull, match="1 tasks of this API key are pending"):
            manager.submit(new_task("b", owner="alice"))
        with pytest.raises(QueueFull):
            manager.admit(owner="alice", idempotency_key=None)
        manager.submit(new_task("c", owner="bob"))
        for name in "de":
            manager.submit(new_task(name))
        manager.claim("ticket", "preview")
        assert manager.submit(new_task("b", owner="alice")).id == "b"

    def test_a_task_that_was_accepted_before_is_still_answered(self, crowded):
        crowded.admit(owner=None, idempotency_key="a")
        assert crowded.submit(new_task("again", idempotency_key="a")).id == "a"

    def test_there_is_room_as_soon_as_one_starts(self, crowded):
        crowded.claim("ticket", "preview")
        crowded.admit(owner=None, idempotency_key=None)
        assert crowded.submit(new_task("c")).id == "c"

    def test_a_refused_client_is_told_when_the_next_task_starts(self, journal, clock):
        manager = start(journal, clock, max_pending=1)
        manager.submit(new_task("a"))
        task = manager.claim("1", "preview")
        manager.submit(new_task("b"))
        clock.now += 10
        manager.report(report_of(task, fraction=0.25))
        with pytest.raises(QueueFull) as caught:
            manager.admit(owner=None, idempotency_key=None)
        assert caught.value.headers == {"Retry-After": "30"}
        clock.now += 5.5
        manager.report(report_of(task, fraction=0.99))
        with pytest.raises(QueueFull) as caught:
            manager.admit(owner=None, idempotency_key=None)
        assert caught.value.headers == {"Retry-After": "1"}

    def test_a_refusal_is_whole_in_another_process(self, crowded):
        with pytest.raises(QueueFull) as caught:
            crowded.submit(new_task("c"))
        arrived = pickle.loads(pickle.dumps(caught.value))
        assert (arrived.message, arrived.headers) == (caught.value.message, {"Retry-After": "30"})


class TestFullDisk:
    def test_new_tasks_are_refused(self, manager, disk):
        disk.full = True
        with pytest.raises(StorageFull):
            manager.admit(owner=None, idempotency_key=None)
        with pytest.raises(StorageFull):
            manager.submit(new_task("a"))

    def test_accepted_tasks_wait_for_room(self, manager, disk):
        manager.submit(new_task("a"))
        disk.full = True
        assert manager.waiting("preview") == 0
        assert manager.claim("1", "preview") is None
        disk.full = False
        assert manager.claim("2", "preview").id == "a"
