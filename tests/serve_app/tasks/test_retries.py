"""A task whose attempt was lost starts again after a pause, and not for ever."""

import pytest

from models.notices import Notice
from serve_app.errors import JournalUnavailable
from serve_app.task import TaskStatus
from serve_app.tasks.retries import FULL_DISK_PAUSES_S, Retries
from tests.serve_app.managers import state, watch
from tests.serve_app.new_tasks import DIED, NO_ROOM, new_task, report_of


@pytest.fixture
def retries(clock):
    return Retries(max_failures=3, clock=clock.steady)


def test_a_task_that_never_failed_may_start(retries):
    assert retries.may_start("a")


def test_the_pauses_after_failures_double_and_the_third_failure_is_the_last(retries, clock):
    for failures, pause in ((1, 1), (2, 2)):
        assert retries.allows_failures(failures)
        retries.pause_after_failure("a", failures)
        assert not retries.may_start("a")
        assert retries.may_start("b")
        clock.now += pause
        assert retries.may_start("a")
    assert not retries.allows_failures(3)


def test_a_full_disk_is_waited_for_longer_and_longer_and_not_for_ever(retries, clock):
    for pause in FULL_DISK_PAUSES_S:
        assert retries.allows_full_disk("a")
        retries.pause_after_full_disk("a")
        clock.now += pause - 1
        assert not retries.may_start("a")
        clock.now += 1
        assert retries.may_start("a")
    assert not retries.allows_full_disk("a")
    assert retries.allows_full_disk("b")


def test_a_finished_task_leaves_nothing_behind(retries):
    retries.forget("never heard of")
    for _ in FULL_DISK_PAUSES_S:
        retries.pause_after_full_disk("a")
    retries.forget("a")
    assert retries.may_start("a")
    assert retries.allows_full_disk("a")


class TestLostAttempt:
    def lose_once(self, manager, clock, name="a"):
        clock.now += 60  # past every backoff
        task = manager.claim(f"ticket at {clock.now}", "preview")
        manager.lose(name, task.attempt, DIED)

    def test_a_lost_attempt_is_repeated_after_a_pause(self, manager, clock):
        manager.submit(new_task("a"))
        self.lose_once(manager, clock)
        assert state(manager, "a").status is TaskStatus.PENDING
        assert manager.claim("too early", "preview") is None
        assert manager.waiting("preview") == 0
        clock.now += 2
        assert manager.claim("in time", "preview").attempt == 2

    def test_a_waiting_repetition_does_not_hold_others_up(self, manager, clock):
        manager.submit(new_task("a"))
        manager.submit(new_task("b"))
        self.lose_once(manager, clock)
        assert manager.claim("ticket", "preview").id == "b"

    def test_three_lost_attempts_fail_the_task(self, manager, clock):
        manager.submit(new_task("a"))
        for _ in range(3):
            self.lose_once(manager, clock)
        task = state(manager, "a")
        assert task.status is TaskStatus.FAILED
        assert task.error == Notice.of("gave_up", failures=3, reason=DIED)
        assert task.error.text.endswith(
            "failed 3 times while making this video; the last time: its replica died"
        )

    def test_the_pause_doubles_with_every_failure(self, manager, clock):
        manager.submit(new_task("a"))
        for pause in (1, 2):
            manager.lose("a", manager.claim(f"before {pause}", "preview").attempt, DIED)
            clock.now += pause - 0.1
            assert manager.claim("too early", "preview") is None
            clock.now += 0.2
        assert manager.claim("in time", "preview").attempt == 3

    @pytest.mark.parametrize("set_by", [86_400, -86_400])
    def test_a_clock_that_is_set_ends_no_lease_and_makes_no_task_wait(self, manager, clock, set_by):
        manager.submit(new_task("a"))
        manager.submit(new_task("b"))
        self.lose_once(manager, clock)
        running = manager.claim("ticket of b", "preview")
        clock.set_by += set_by
        watch(manager, clock, 2)
        assert manager.report(report_of(running))
        manager.refresh()
        assert manager.claim("ticket of a", "preview").id == "a"


class TestFullDisk:
    def test_an_attempt_that_finds_no_room_is_no_failure(self, manager, disk):
        manager.submit(new_task("a"))
        task = manager.claim("1", "preview")
        disk.full = True
        manager.lose("a", task.attempt, Notice.of("encoding_failed", reason="broken pipe"))
        assert (state(manager, "a").status, state(manager, "a").failures) == (TaskStatus.PENDING, 0)

    def test_nor_is_one_that_found_the_disk_full_and_left_it_with_room(self, manager, clock):
        manager.submit(new_task("a"))
        for pause in FULL_DISK_PAUSES_S:
            task = manager.claim(f"before {pause}", "preview")
            manager.lose("a", task.attempt, NO_ROOM, disk_full=True)
            assert (state(manager, "a").status, state(manager, "a").failures) == (TaskStatus.PENDING, 0)
            clock.now += pause - 1
            assert manager.claim("too early", "preview") is None
            clock.now += 1

    def test_a_video_that_needs_more_room_than_there_ever_is_fails(self, manager, clock):
        manager.submit(new_task("a"))
        for pause in (*FULL_DISK_PAUSES_S, 0):
            task = manager.claim(f"before {pause}", "preview")
            manager.lose("a", task.attempt, NO_ROOM, disk_full=True)
            clock.now += pause
        task = state(manager, "a")
        assert (task.status, task.failures) == (TaskStatus.FAILED, 0)
        assert task.error == Notice.of("disk_stayed_full", count=7, reason=NO_ROOM)

    def test_a_full_disk_that_the_journal_could_not_note_counts_once(self, manager, journal, monkeypatch):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")

        def unavailable(_task):
            raise JournalUnavailable

        with monkeypatch.context() as broken:
            broken.setattr(journal, "save", unavailable)
            for _ in range(len(FULL_DISK_PAUSES_S) + 1):
                with pytest.raises(JournalUnavailable):
                    manager.lose("a", task.attempt, NO_ROOM, disk_full=True)
        manager.lose("a", task.attempt, NO_ROOM, disk_full=True)
        assert state(manager, "a").status is TaskStatus.PENDING
