"""The life cycle of a task, told with a clock that the test moves."""

from dataclasses import replace

import pytest

from models.errors import ImageError
from models.notices import Notice
from models.progress import Progress, Stage
from serve_app.errors import (
    IdempotencyKeyReused,
    JournalUnavailable,
    StorageFull,
    TaskFinished,
    TaskNotFound,
)
from serve_app.task import TaskStatus
from tests.serve_app.disk import fill, write_much
from tests.serve_app.lost_answers import losing_answers
from tests.serve_app.managers import LEASE_S, finish, look, start, state, watch
from tests.serve_app.new_tasks import A_WARNING, DIED, new_task, report_of


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
        assert [look(manager, name).queue_position for name in "abc"] == [1, 2, 3]
        manager.claim("ticket", "preview")
        assert [look(manager, name).queue_position for name in "abc"] == [None, 1, 2]

    def test_submitting_the_same_task_again_changes_nothing(self, manager):
        first = manager.submit(new_task("a"))
        assert manager.submit(new_task("a")) == first
        assert manager.waiting("preview") == 1

    def test_a_repeated_claim_gets_the_same_attempt(self, manager):
        manager.submit(new_task("a"))
        manager.submit(new_task("b"))
        first = manager.claim("ticket", "preview")
        assert manager.claim("ticket", "preview") == first

    def test_a_higher_priority_starts_first_and_equals_first_come_first_served(self, manager):
        for name, priority in (("a", 0), ("b", 5), ("c", -5), ("d", 5), ("e", 0)):
            manager.submit(new_task(name, priority=priority))
        assert [look(manager, name).queue_position for name in "bdaec"] == [1, 2, 3, 4, 5]
        assert [manager.claim(f"ticket {n}", "preview").id for n in range(5)] == list("bdaec")

    def test_work_handed_back_gets_its_place_again(self, manager):
        for name in "abc":
            manager.submit(new_task(name))
        manager.claim("1", "preview")
        manager.hand_out(False)
        assert [look(manager, name).queue_position for name in "abc"] == [1, 2, 3]


class TestCancel:
    def assert_cancelled(self, task):
        assert (task.status, task.error, task.cancelled) == (TaskStatus.FAILED, Notice.of("cancelled"), True)
        assert (task.progress.stage, task.failures) == (None, 0)

    def test_a_pending_task_ends_at_once(self, manager):
        manager.submit(new_task("a"))
        manager.submit(new_task("b"))
        self.assert_cancelled(manager.cancel("a", owner=None).task)
        assert look(manager, "b").queue_position == 1
        assert manager.claim("1", "preview").id == "b"
        assert manager.claim("2", "preview") is None

    def test_a_running_task_ends_and_its_replica_is_told_at_the_next_report(self, manager):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        self.assert_cancelled(manager.cancel("a", owner=None).task)
        assert not manager.report(report_of(task))
        assert not manager.complete(report_of(task), "attempt-1.mp4")
        manager.ticket_ended("ticket", DIED)
        self.assert_cancelled(state(manager, "a"))

    def test_cancelling_twice_changes_nothing(self, manager, clock):
        manager.submit(new_task("a"))
        first = manager.cancel("a", owner=None)
        clock.now += 10
        assert manager.cancel("a", owner=None) == first

    def test_a_finished_task_cannot_be_cancelled(self, manager):
        manager.submit(new_task("a"))
        finish(manager)
        with pytest.raises(TaskFinished, match="already completed"):
            manager.cancel("a", owner=None)
        assert state(manager, "a").status is TaskStatus.COMPLETED

    def test_a_task_that_waits_for_its_repetition_is_not_repeated(self, manager, clock):
        manager.submit(new_task("a"))
        manager.lose("a", manager.claim("1", "preview").attempt, DIED)
        manager.cancel("a", owner=None)
        clock.now += 60
        assert manager.claim("2", "preview") is None

    def test_it_stays_cancelled_for_a_successor(self, manager, journal, clock):
        manager.submit(new_task("a"))
        manager.cancel("a", owner=None)
        successor = start(journal, clock)
        self.assert_cancelled(state(successor, "a"))
        assert successor.claim("ticket", "preview") is None


class TestWebhook:
    def test_its_first_message_is_due_with_the_end_whatever_the_end(self, manager, journal, clock):
        manager.submit(new_task("a", webhook_url="https://example.org/"))
        assert journal.get("a").webhook_at is None
        manager.cancel("a", owner=None)
        assert journal.get("a").webhook_at == clock.now

    def test_without_one_nothing_is_due(self, manager, journal):
        manager.submit(new_task("a"))
        finish(manager)
        assert journal.get("a").webhook_at is None


class TestRemove:
    def test_a_finished_task_is_forgotten_however_often_it_is_asked(self, manager):
        manager.submit(new_task("a"))
        finish(manager)
        for _ in range(2):
            manager.remove("a", owner=None)
        with pytest.raises(TaskNotFound):
            look(manager, "a")

    def test_a_task_that_is_not_finished_stays(self, manager):
        for name in "ab":
            manager.submit(new_task(name))
        running = manager.claim("ticket", "preview")
        for name in "ab":
            manager.remove(name, owner=None)
        assert manager.complete(report_of(running), "attempt-1.mp4")
        assert manager.claim("another", "preview").id == "b"

    def test_another_s_task_stays(self, manager):
        manager.submit(new_task("a", owner="ann"))
        finish(manager)
        manager.remove("a", owner="bob")
        assert state(manager, "a").status is TaskStatus.COMPLETED
        manager.remove("a", owner="ann")
        with pytest.raises(TaskNotFound):
            look(manager, "a")


class TestIdempotency:
    def test_the_same_key_gives_the_same_task(self, manager):
        first = manager.submit(new_task("a", idempotency_key="k", fingerprint="f"))
        assert manager.submit(new_task("b", idempotency_key="k", fingerprint="f")) == first
        assert manager.overview.counts()[TaskStatus.PENDING] == 1

    def test_also_when_it_is_finished_and_after_a_restart(self, manager, journal, clock):
        manager.submit(new_task("a", idempotency_key="k", fingerprint="f"))
        finish(manager)
        again = start(journal, clock).submit(new_task("b", idempotency_key="k", fingerprint="f"))
        assert (again.id, again.status) == ("a", TaskStatus.COMPLETED)

    def test_another_request_with_the_key_is_refused(self, manager):
        manager.submit(new_task("a", idempotency_key="k", fingerprint="f"))
        with pytest.raises(IdempotencyKeyReused, match="'k' was already used"):
            manager.submit(new_task("b", idempotency_key="k", fingerprint="g"))

    def test_a_deleted_task_frees_its_key(self, manager):
        manager.submit(new_task("a", idempotency_key="k", fingerprint="f"))
        finish(manager)
        manager.remove("a", owner=None)
        assert manager.submit(new_task("b", idempotency_key="k", fingerprint="g")).id == "b"


class TestProgress:
    def test_a_report_is_seen_in_the_task(self, manager):
        manager.submit(new_task("a"))
        assert manager.report(report_of(manager.claim("ticket", "preview")))
        task = state(manager, "a")
        assert task.status is TaskStatus.PROCESSING
        assert task.progress == Progress(Stage.GENERATING, 0.5, 50, 100, 4.2, (A_WARNING,))

    def test_a_completed_task_names_its_video(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        clock.now += 7
        assert manager.complete(report_of(task), "attempt-1.mp4")
        task = state(manager, "a")
        assert (task.status, task.video) == (TaskStatus.COMPLETED, "attempt-1.mp4")
        assert (task.progress.stage, task.progress.fraction) == (None, 1.0)
        assert task.finished_at - task.started_at == 7

    def test_a_completion_is_accepted_whose_journalling_was_not_heard_of(self, manager, journal):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        # As when the connection breaks after the database has made the change.
        done = replace(task, status=TaskStatus.COMPLETED, video="attempt-1.mp4", finished_at=1.0)
        assert journal.save(done)
        assert manager.complete(report_of(task), "attempt-1.mp4")
        assert not manager.complete(report_of(task), "another.mp4")

    def test_a_repeated_completion_is_accepted_again(self, manager):
        manager.submit(new_task("a"))
        report = report_of(manager.claim("ticket", "preview"))
        assert manager.complete(report, "attempt-1.mp4")
        assert manager.complete(report, "attempt-1.mp4")

    def test_a_replica_of_a_release_without_notices_says_in_a_sentence_what_is_wrong(self, manager):
        manager.submit(new_task("a"))
        manager.claim("ticket", "preview")
        manager.reject("a", 1, "audio_file: the audio file is an empty file")
        error = state(manager, "a").error
        assert error == Notice.of("text", text="audio_file: the audio file is an empty file")
        assert error.text == "audio_file: the audio file is an empty file"

    def test_unusable_input_fails_the_task_for_good(self, manager):
        manager.submit(new_task("a"))
        manager.claim("ticket", "preview")
        error = ImageError("image_empty").notice
        manager.reject("a", 1, error)
        task = state(manager, "a")
        assert (task.status, task.error) == (TaskStatus.FAILED, error)
        assert task.failures == 0
        assert manager.waiting("preview") == 0


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
        manager.reject("a", 1, ImageError("image_empty").notice)
        manager.lose("a", 1, DIED)
        assert state(manager, "a").status is TaskStatus.PENDING

    def test_a_report_about_an_unknown_task_is_told_to_stop(self, manager):
        assert not manager.report(report_of(new_task("nobody")))


class TestFaults:
    def test_a_dead_ticket_gives_back_the_task_it_held(self, manager):
        manager.submit(new_task("a"))
        manager.submit(new_task("b"))
        manager.claim("1", "preview")
        manager.claim("2", "preview")
        manager.ticket_ended("1", DIED)
        assert state(manager, "a").status is TaskStatus.PENDING
        assert state(manager, "b").status is TaskStatus.PROCESSING

    def test_a_ticket_that_ends_before_its_replica_claimed_is_no_failure(self, manager):
        manager.submit(new_task("a"))
        for number in range(10):
            manager.ticket_ended(f"ticket {number}", DIED)
        assert (state(manager, "a").status, state(manager, "a").failures) == (TaskStatus.PENDING, 0)
        assert manager.claim("ticket", "preview").attempt == 1

    def test_work_handed_back_is_no_failure(self, manager):
        manager.submit(new_task("a"))
        manager.claim("1", "preview")
        manager.hand_out(False)
        task = state(manager, "a")
        assert (task.status, task.failures, task.progress.stage) == (TaskStatus.PENDING, 0, Stage.QUEUED)
        assert manager.claim("2", "preview") is None
        manager.hand_out(True)
        assert manager.claim("3", "preview").attempt == 2


class TestFullDisk:
    def test_work_that_runs_may_still_complete(self, manager, disk):
        manager.submit(new_task("a"))
        report = report_of(manager.claim("1", "preview"))
        disk.full = True
        assert manager.complete(report, "attempt-1.mp4")

    def test_a_successor_knows_every_task_while_nothing_can_be_written(
        self, small_journal, small_disk, clock
    ):
        manager = start(small_journal, clock)
        manager.submit(new_task("running"))
        manager.submit(new_task("waiting"))
        report = report_of(manager.claim("ticket", "preview"))
        fill(small_disk)
        with pytest.raises(StorageFull):
            write_much(small_journal)
        clock.now += LEASE_S + 1
        successor = start(small_journal, clock, has_room=lambda: False)
        assert successor.report(report)
        assert look(successor, "waiting").queue_position == 1

    def test_what_a_dead_cluster_held_waits_for_room(self, small_journal, small_disk, clock):
        old = start(small_journal, clock, name="old")
        old.submit(new_task("a"))
        old.claim("ticket", "preview")
        ballast = fill(small_disk)
        with pytest.raises(StorageFull):
            write_much(small_journal)
        clock.now += LEASE_S + 1
        new = start(small_journal, clock, name="new")
        ballast.unlink()
        new.refresh()
        assert (state(new, "a").status, state(new, "a").failures) == (TaskStatus.PENDING, 0)


class TestRestart:
    def test_what_was_pending_is_still_pending_in_the_same_order(self, manager, journal, clock):
        for name in "cab":
            manager.submit(new_task(name))
        successor = start(journal, clock)
        assert [successor.claim(f"{n}", "preview").id for n in range(3)] == ["c", "a", "b"]

    def test_running_work_is_adopted_when_it_reports_within_its_lease(self, manager, journal, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        successor = start(journal, clock)
        watch(successor, clock, LEASE_S - 1)
        assert successor.report(report_of(task))
        watch(successor, clock, LEASE_S - 1)
        assert successor.complete(report_of(task), "attempt-1.mp4")
        assert state(successor, "a").attempt == 1

    def test_running_work_that_stays_silent_is_repeated(self, manager, journal, clock):
        manager.submit(new_task("a"))
        manager.claim("ticket", "preview")
        successor = start(journal, clock)
        watch(successor, clock, LEASE_S + 1)
        assert state(successor, "a").status is TaskStatus.PENDING

    def test_a_finished_task_is_still_known(self, manager, journal, clock):
        manager.submit(new_task("a"))
        manager.complete(report_of(manager.claim("ticket", "preview")), "attempt-1.mp4")
        assert state(start(journal, clock), "a").status is TaskStatus.COMPLETED

    def test_a_claim_whose_answer_got_lost_is_answered_by_the_successor(self, manager, journal, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        assert start(journal, clock).claim("ticket", "preview") == task

    def test_a_claim_that_may_or_may_not_be_journalled_is_looked_up(self, manager, journal):
        manager.submit(new_task("a"))
        manager.submit(new_task("b"))
        with losing_answers(journal, "save"), pytest.raises(JournalUnavailable):
            manager.claim("ticket", "preview")
        task = manager.claim("ticket", "preview")
        assert (task.id, task.attempt) == ("a", 1)
        assert state(manager, "b").status is TaskStatus.PENDING

    def test_a_change_that_may_or_may_not_be_journalled_is_looked_up(self, journal, clock):
        manager = start(journal, clock)
        manager.submit(new_task("a"))
        # As when the connection breaks after the database has made a change.
        journal.add(new_task("b"))
        journal.save(replace(state(manager, "a"), priority=-1))
        assert manager.claim("1", "preview") is None
        manager.refresh()
        assert [manager.claim(f"{n}", "preview").id for n in (2, 3)] == ["b", "a"]
