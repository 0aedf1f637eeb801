"""The life cycle of a task, told with a clock that the test moves."""

import pytest

from serve_app.task import Stage, TaskStatus
from serve_app.task_manager import TaskManager
from serve_app.task_store import TaskStore
from tests.serve_app.tasks import new_task, report_of

LEASE_S = 15.0
STALL_S = 300.0


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path):
    store = TaskStore(f"sqlite:///{tmp_path / 'tasks.db'}")
    yield store
    store.close()


def start(store, clock):
    return TaskManager(store, lease_s=LEASE_S, stall_timeout_s=STALL_S, max_failures=3, clock=clock)


@pytest.fixture
def manager(store, clock):
    return start(store, clock)


def state(manager, task_id):
    return manager.snapshot(task_id).task


class TestOrder:
    def test_tasks_are_handed_out_first_come_first_served(self, manager):
        for name in "cab":
            manager.submit(new_task(name))
        assert [manager.claim(f"ticket {n}", "preview").id for n in range(3)] == ["c", "a", "b"]

    def test_a_ticket_too_many_finds_nothing(self, manager):
        manager.submit(new_task("a"))
        assert manager.claim("first", "preview").id == "a"
        assert manager.claim("second", "preview") is None

    def test_an_engine_gets_its_own_tasks_only(self, manager):
        manager.submit(new_task("a", engine="echomimic"))
        assert manager.claim("ticket", "preview") is None
        assert manager.claim("ticket", "echomimic").id == "a"

    def test_the_position_in_the_queue_counts_down(self, manager):
        for name in "abc":
            manager.submit(new_task(name))
        assert [manager.snapshot(name).queue_position for name in "abc"] == [1, 2, 3]
        manager.claim("ticket", "preview")
        assert [manager.snapshot(name).queue_position for name in "abc"] == [None, 1, 2]

    def test_submitting_the_same_task_again_changes_nothing(self, manager):
        first = manager.submit(new_task("a"))
        assert manager.submit(new_task("a")) == first
        assert manager.waiting("preview") == 1

    def test_a_repeated_claim_gets_the_same_attempt(self, manager):
        manager.submit(new_task("a"))
        manager.submit(new_task("b"))
        first = manager.claim("ticket", "preview")
        assert manager.claim("ticket", "preview") == first


class TestProgress:
    def test_a_report_is_seen_in_the_task(self, manager):
        manager.submit(new_task("a"))
        assert manager.report(report_of(manager.claim("ticket", "preview")))
        task = state(manager, "a")
        assert task.status is TaskStatus.PROCESSING
        assert (task.stage, task.progress, task.frames_generated) == (Stage.GENERATING, 0.5, 50)
        assert task.warnings == ("a warning",)

    def test_a_completed_task_names_its_video(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        clock.now += 7
        assert manager.complete(report_of(task), "attempt-1.mp4")
        task = state(manager, "a")
        assert (task.status, task.video, task.progress) == (TaskStatus.COMPLETED, "attempt-1.mp4", 1.0)
        assert task.finished_at - task.started_at == 7

    def test_a_repeated_completion_is_accepted_again(self, manager):
        manager.submit(new_task("a"))
        report = report_of(manager.claim("ticket", "preview"))
        assert manager.complete(report, "attempt-1.mp4")
        assert manager.complete(report, "attempt-1.mp4")

    def test_unusable_input_fails_the_task_for_good(self, manager):
        manager.submit(new_task("a"))
        manager.claim("ticket", "preview")
        manager.reject("a", 1, "reference_image: no face was found")
        task = state(manager, "a")
        assert (task.status, task.error) == (TaskStatus.FAILED, "reference_image: no face was found")
        assert task.failures == 0
        assert manager.waiting("preview") == 0

    def test_the_eta_of_a_running_task_follows_its_progress(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        clock.now += 10
        manager.report(report_of(task, progress=0.25))
        assert manager.snapshot("a").eta_seconds == pytest.approx(30)

    def test_the_eta_of_a_pending_task_is_learnt_from_finished_ones(self, manager, clock):
        for name in "abc":
            manager.submit(new_task(name))
        assert manager.snapshot("b").eta_seconds is None
        task = manager.claim("1", "preview")
        clock.now += 20
        manager.complete(report_of(task), "v.mp4")
        manager.claim("2", "preview")
        clock.now += 5
        assert manager.snapshot("c").eta_seconds == pytest.approx(15 + 20)


class TestFencing:
    def test_an_older_attempt_is_told_to_stop_and_cannot_complete(self, manager):
        manager.submit(new_task("a"))
        old = manager.claim("1", "preview")
        manager.hand_out(False)
        manager.hand_out(True)
        new = manager.claim("2", "preview")
        assert new.attempt == old.attempt + 1
        assert not manager.report(report_of(old))
        assert not manager.complete(report_of(old), "attempt-1.mp4")
        assert manager.complete(report_of(new), "attempt-2.mp4")
        assert state(manager, "a").video == "attempt-2.mp4"

    def test_an_older_attempt_cannot_fail_the_task(self, manager):
        manager.submit(new_task("a"))
        manager.claim("1", "preview")
        manager.hand_out(False)
        manager.reject("a", 1, "too late")
        manager.lose("a", 1, "too late")
        assert state(manager, "a").status is TaskStatus.PENDING

    def test_a_report_about_an_unknown_task_is_told_to_stop(self, manager):
        assert not manager.report(report_of(new_task("nobody")))


class TestFaults:
    def lose_once(self, manager, clock, name="a"):
        clock.now += 60  # past every backoff
        task = manager.claim(f"ticket at {clock.now}", "preview")
        manager.lose(name, task.attempt, "its replica died")

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
        assert "failed 3 times" in task.error
        assert "its replica died" in task.error

    def test_a_dead_ticket_gives_back_the_task_it_held(self, manager):
        manager.submit(new_task("a"))
        manager.submit(new_task("b"))
        manager.claim("1", "preview")
        manager.claim("2", "preview")
        manager.ticket_ended("1", "its replica died")
        assert state(manager, "a").status is TaskStatus.PENDING
        assert state(manager, "b").status is TaskStatus.PROCESSING

    def test_silence_longer_than_the_lease_loses_the_attempt(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        clock.now += LEASE_S - 1
        assert manager.report(report_of(task))
        clock.now += LEASE_S - 1
        manager.expire()
        assert state(manager, "a").status is TaskStatus.PROCESSING
        clock.now += 2
        manager.expire()
        assert state(manager, "a").status is TaskStatus.PENDING

    def test_reports_without_progress_lose_the_attempt(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        for _ in range(int(STALL_S / 10) + 1):
            assert manager.report(report_of(task, counter=5))
            clock.now += 10
        manager.expire()
        assert state(manager, "a").status is TaskStatus.PENDING
        assert state(manager, "a").failures == 1

    def test_work_handed_back_is_no_failure(self, manager):
        manager.submit(new_task("a"))
        manager.claim("1", "preview")
        manager.hand_out(False)
        task = state(manager, "a")
        assert (task.status, task.failures, task.stage) == (TaskStatus.PENDING, 0, Stage.QUEUED)
        assert manager.claim("2", "preview") is None
        manager.hand_out(True)
        assert manager.claim("3", "preview").attempt == 2


class TestRestart:
    def test_what_was_pending_is_still_pending_in_the_same_order(self, manager, store, clock):
        for name in "cab":
            manager.submit(new_task(name))
        successor = start(store, clock)
        assert [successor.claim(f"{n}", "preview").id for n in range(3)] == ["c", "a", "b"]

    def test_running_work_is_adopted_when_it_reports_within_its_lease(self, manager, store, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        successor = start(store, clock)
        clock.now += LEASE_S - 1
        assert successor.report(report_of(task))
        clock.now += LEASE_S - 1
        successor.expire()
        assert successor.complete(report_of(task), "attempt-1.mp4")
        assert state(successor, "a").attempt == 1

    def test_running_work_that_stays_silent_is_repeated(self, manager, store, clock):
        manager.submit(new_task("a"))
        manager.claim("ticket", "preview")
        successor = start(store, clock)
        clock.now += LEASE_S + 1
        successor.expire()
        assert state(successor, "a").status is TaskStatus.PENDING

    def test_a_finished_task_is_still_known(self, manager, store, clock):
        manager.submit(new_task("a"))
        manager.complete(report_of(manager.claim("ticket", "preview")), "attempt-1.mp4")
        assert state(start(store, clock), "a").status is TaskStatus.COMPLETED

    def test_a_claim_whose_answer_got_lost_is_answered_by_the_successor(self, manager, store, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        assert start(store, clock).claim("ticket", "preview") == task
