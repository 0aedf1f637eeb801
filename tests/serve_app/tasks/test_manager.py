"""The life cycle of a task, told with a clock that the test moves."""

import pickle
from dataclasses import replace

import pytest

from models.errors import ImageError
from models.notices import Notice
from models.progress import Progress, Stage
from serve_app.errors import (
    IdempotencyKeyReused,
    JournalUnavailable,
    QueueFull,
    StorageFull,
    TaskFinished,
    TaskNotFound,
)
from serve_app.task import TaskStatus
from serve_app.tasks.manager import _FULL_DISK_PAUSES_S as FULL_DISK_PAUSES_S
from serve_app.tasks.manager import TaskManager
from tests.serve_app.disk import fill, write_much
from tests.serve_app.lost_answers import losing_answers
from tests.serve_app.managers import new_manager
from tests.serve_app.new_tasks import A_WARNING, new_task, report_of

DIED = Notice.of("replica_died")
NO_ROOM = Notice.of("disk_full", reason="No space left on device")

LEASE_S = 15.0
STALL_S = 300.0


class Clock:
    """The clock on the wall, which somebody may set, and one that only runs."""

    now = 1_000.0
    set_by = 0.0

    def __call__(self) -> float:
        return self.now + self.set_by

    def steady(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


class Disk:
    full = False

    def has_room(self):
        return not self.full


@pytest.fixture
def disk():
    return Disk()


def start(journal, clock, **changes):
    limits = {"lease_s": LEASE_S, "stall_timeout_s": STALL_S}
    return new_manager(journal, **{**limits, **changes}, clock=clock, steady_clock=clock.steady)


@pytest.fixture
def manager(journal, clock, disk):
    return start(journal, clock, has_room=disk.has_room)


def look(manager, task_id):
    return manager.snapshot(task_id, owner=None)


def state(manager, task_id):
    return look(manager, task_id).task


def watch(manager, clock, seconds):
    """Time passes, and leases are looked at every second."""
    for _ in range(int(seconds)):
        clock.now += 1
        manager.expire()


def finish(manager, ticket="ticket"):
    """Claim the next task and complete it at once."""
    task = manager.claim(ticket, "preview")
    assert manager.complete(report_of(task), f"attempt-{task.attempt}.mp4")
    return task


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
        with pytest.raises(TaskFinished, match="completed already"):
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


class TestOwners:
    @pytest.fixture(autouse=True)
    def _tasks(self, manager):
        for name, owner in (("a", "ann"), ("b", "bob"), ("c", "ann")):
            manager.submit(new_task(name, owner=owner, idempotency_key="k" if name != "c" else None))

    @pytest.mark.parametrize("method", [TaskManager.snapshot, TaskManager.cancel])
    def test_another_s_task_is_not_there(self, manager, method):
        with pytest.raises(TaskNotFound):
            method(manager, "b", owner="ann")
        assert state(manager, "b").status is TaskStatus.PENDING
        assert method(manager, "a", owner="ann").task.id == "a"

    def test_a_list_holds_one_s_own_tasks(self, manager):
        def ids(owner):
            return [snapshot.task.id for snapshot in manager.page(owner, None, None, 10).snapshots]

        assert ids("ann") == ["c", "a"]
        assert ids("eve") == []
        assert ids(None) == ["c", "b", "a"]

    def test_two_owners_may_use_the_same_key(self, manager):
        assert manager.submit(new_task("x", owner="ann", idempotency_key="k")).id == "a"
        assert manager.submit(new_task("y", owner="bob", idempotency_key="k")).id == "b"
        assert manager.submit(new_task("z", owner="eve", idempotency_key="k")).id == "z"


class TestIdempotency:
    def test_the_same_key_gives_the_same_task(self, manager):
        first = manager.submit(new_task("a", idempotency_key="k", fingerprint="f"))
        assert manager.submit(new_task("b", idempotency_key="k", fingerprint="f")) == first
        assert manager.counts()[TaskStatus.PENDING] == 1

    def test_also_when_it_is_finished_and_after_a_restart(self, manager, journal, clock):
        manager.submit(new_task("a", idempotency_key="k", fingerprint="f"))
        finish(manager)
        again = start(journal, clock).submit(new_task("b", idempotency_key="k", fingerprint="f"))
        assert (again.id, again.status) == ("a", TaskStatus.COMPLETED)

    def test_another_request_with_the_key_is_refused(self, manager):
        manager.submit(new_task("a", idempotency_key="k", fingerprint="f"))
        with pytest.raises(IdempotencyKeyReused, match="'k' was used before"):
            manager.submit(new_task("b", idempotency_key="k", fingerprint="g"))

    def test_a_deleted_task_frees_its_key(self, manager):
        manager.submit(new_task("a", idempotency_key="k", fingerprint="f"))
        finish(manager)
        manager.remove("a", owner=None)
        assert manager.submit(new_task("b", idempotency_key="k", fingerprint="g")).id == "b"


class TestPages:
    def test_pages_hold_every_task_once_the_newest_first(self, manager):
        for name in "abcde":
            manager.submit(new_task(name))
        seen, cursor = [], None
        for _ in range(3):
            page = manager.page(None, None, cursor, 2)
            seen += [snapshot.task.id for snapshot in page.snapshots]
            cursor = page.next_cursor
        assert (seen, cursor) == (list("edcba"), None)

    def test_a_page_that_holds_just_the_rest_is_the_last(self, manager):
        for name in "ab":
            manager.submit(new_task(name))
        assert manager.page(None, None, None, 2).next_cursor is None

    def test_tasks_are_shown_as_they_stand(self, manager):
        for name in "abc":
            manager.submit(new_task(name))
        finish(manager)
        manager.report(report_of(manager.claim("2", "preview"), fraction=0.25))
        by_status = {status: manager.page(None, status, None, 10).snapshots for status in TaskStatus}
        assert {status: [s.task.id for s in found] for status, found in by_status.items()} == {
            TaskStatus.COMPLETED: ["a"],
            TaskStatus.PROCESSING: ["b"],
            TaskStatus.PENDING: ["c"],
            TaskStatus.FAILED: [],
        }
        assert by_status[TaskStatus.PROCESSING][0].task.progress.fraction == 0.25
        assert by_status[TaskStatus.PENDING][0].queue_position == 1


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
        assert crowded.counts()[TaskStatus.PENDING] == 2

    def test_one_owner_cannot_take_all_the_room(self, journal, clock):
        manager = start(journal, clock, max_pending_per_owner=1)
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

    def test_the_eta_of_a_running_task_follows_its_progress(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        clock.now += 10
        manager.report(report_of(task, fraction=0.25))
        assert look(manager, "a").eta_seconds == pytest.approx(30)

    def test_the_eta_of_a_pending_task_is_learnt_from_finished_ones(self, manager, clock):
        for name in "abc":
            manager.submit(new_task(name))
        assert look(manager, "b").eta_seconds is None
        task = manager.claim("1", "preview")
        clock.now += 20
        manager.complete(report_of(task), "v.mp4")
        manager.claim("2", "preview")
        clock.now += 5
        assert look(manager, "c").eta_seconds == pytest.approx(15 + 20)


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

    def test_the_pause_doubles_with_every_failure(self, manager, clock):
        manager.submit(new_task("a"))
        for pause in (1, 2):
            manager.lose("a", manager.claim(f"before {pause}", "preview").attempt, DIED)
            clock.now += pause - 0.1
            assert manager.claim("too early", "preview") is None
            clock.now += 0.2
        assert manager.claim("in time", "preview").attempt == 3

    def test_silence_longer_than_the_lease_loses_the_attempt(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        watch(manager, clock, LEASE_S - 1)
        assert manager.report(report_of(task))
        watch(manager, clock, LEASE_S)
        assert state(manager, "a").status is TaskStatus.PROCESSING
        watch(manager, clock, 1)
        assert state(manager, "a").status is TaskStatus.PENDING

    def test_reports_without_progress_lose_the_attempt(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        for _ in range(int(STALL_S / 10)):
            assert manager.report(report_of(task, counter=5))
            watch(manager, clock, 10)
        assert state(manager, "a").status is TaskStatus.PROCESSING
        watch(manager, clock, 1)
        assert state(manager, "a").status is TaskStatus.PENDING
        assert state(manager, "a").failures == 1

    def test_what_nobody_watched_is_no_silence(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        for _ in range(3):
            # The machine was asleep, and leases are looked at before the replica is heard.
            clock.now += 3600
            manager.expire()
            assert manager.report(report_of(task))
        assert (state(manager, "a").status, state(manager, "a").failures) == (TaskStatus.PROCESSING, 0)
        watch(manager, clock, LEASE_S + 1)
        assert state(manager, "a").status is TaskStatus.PENDING

    def test_what_was_heard_after_a_long_sleep_counts_from_then_on(self, manager, clock):
        manager.submit(new_task("a"))
        task = manager.claim("ticket", "preview")
        clock.now += 3600
        assert manager.report(report_of(task))
        manager.expire()
        watch(manager, clock, LEASE_S + 1)
        assert state(manager, "a").status is TaskStatus.PENDING

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

    def test_work_handed_back_is_no_failure(self, manager):
        manager.submit(new_task("a"))
        manager.claim("1", "preview")
        manager.hand_out(False)
        task = state(manager, "a")
        assert (task.status, task.failures, task.progress.stage) == (TaskStatus.PENDING, 0, Stage.QUEUED)
        assert manager.claim("2", "preview") is None
        manager.hand_out(True)
        assert manager.claim("3", "preview").attempt == 2


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


class TestTwoManagers:
    """A cluster replaces another on the same journal, and both run for a while."""

    @pytest.fixture
    def old(self, journal, clock):
        """The manager of the first cluster, with a task that runs and one that waits."""
        old = start(journal, clock, name="old")
        old.submit(new_task("running"))
        old.submit(new_task("waiting"))
        old.claim("ticket of old", "preview")
        return old

    @pytest.fixture
    def new(self, old, journal, clock):
        """The manager of the second."""
        return start(journal, clock, name="new")

    def pass_time(self, clock, *managers, seconds=4 * LEASE_S):
        """Managers refresh every second."""
        for _ in range(int(seconds)):
            clock.now += 1
            for manager in managers:
                manager.refresh()

    def test_the_one_that_came_last_hands_out_work(self, old, new):
        old.refresh()
        assert old.claim("1", "preview") is None
        assert old.waiting("preview") == 0
        assert new.claim("2", "preview").id == "waiting"

    def test_a_task_is_never_handed_out_twice(self, old, new):
        # The old manager has not noticed the new one yet.
        assert old.claim("1", "preview").id == "waiting"
        assert new.claim("2", "preview") is None
        old.refresh()
        new.refresh()
        assert new.claim("3", "preview") is None
        assert state(new, "waiting").attempt == 1

    def test_the_old_one_lets_its_running_work_finish(self, old, new, clock):
        task = state(old, "running")
        for _ in range(4):
            self.pass_time(clock, old, new, seconds=10)
            assert old.report(report_of(task, counter=int(clock.now)))
            watch(old, clock, 1)
        assert old.complete(report_of(task), "attempt-1.mp4")
        new.refresh()
        assert (state(new, "running").status, state(new, "running").attempt) == (TaskStatus.COMPLETED, 1)

    def test_work_of_the_old_one_that_is_lost_is_repeated_by_the_new_one(self, old, new):
        old.refresh()
        old.lose("running", 1, DIED)
        new.refresh()
        assert old.claim("1", "preview") is None
        assert new.claim("2", "preview").id == "running"

    def test_both_know_how_much_is_to_do(self, old, new):
        old.refresh()
        for manager in (old, new):
            assert manager.counts() == {TaskStatus.PENDING: 1, TaskStatus.PROCESSING: 1}
        new.claim("1", "preview")
        for manager in (old, new):
            assert manager.counts() == {TaskStatus.PENDING: 0, TaskStatus.PROCESSING: 2}

    def test_both_refuse_what_is_too_much(self, new, journal, clock):
        old = start(journal, clock, name="old", max_pending=3, max_pending_per_owner=1)
        old.submit(new_task("of ann", owner="ann"))
        old.refresh()
        with pytest.raises(QueueFull, match="1 tasks of this API key"):
            old.submit(new_task("too much", owner="ann"))
        old.submit(new_task("last"))
        old.refresh()
        with pytest.raises(QueueFull, match="3 tasks are pending"):
            old.submit(new_task("too much"))

    def test_a_task_submitted_to_the_old_one_is_worked_on_by_the_new_one(self, old, new):
        old.refresh()
        old.submit(new_task("late", priority=1))
        old.refresh()
        assert old.claim("1", "preview") is None
        new.refresh()
        assert new.claim("2", "preview").id == "late"

    def test_a_task_is_cancelled_wherever_it_runs(self, old, new):
        task = state(old, "running")
        assert new.cancel("running", owner=None).task.cancelled
        old.refresh()
        assert not old.report(report_of(task))
        assert not old.complete(report_of(task), "attempt-1.mp4")
        assert state(old, "running").cancelled

    def test_a_completion_is_not_written_over_a_cancellation(self, old, new):
        task = state(old, "running")
        new.cancel("running", owner=None)
        assert not old.complete(report_of(task), "attempt-1.mp4")
        assert state(new, "running").cancelled

    def test_a_cancellation_is_not_written_over_a_completion(self, old, new):
        old.complete(report_of(state(old, "running")), "attempt-1.mp4")
        with pytest.raises(TaskFinished):
            new.cancel("running", owner=None)

    def test_what_a_dead_cluster_held_is_handed_out_again_and_is_no_failure(self, old, new, clock):
        self.pass_time(clock, new, seconds=LEASE_S - 1)
        assert state(new, "running").status is TaskStatus.PROCESSING
        self.pass_time(clock, new, seconds=2)
        task = state(new, "running")
        assert (task.status, task.attempt, task.failures) == (TaskStatus.PENDING, 1, 0)
        assert new.claim("1", "preview").id == "running"

    def test_a_cluster_that_comes_back_from_silence_cannot_complete_what_it_lost(self, old, new, clock):
        lost = state(old, "running")
        self.pass_time(clock, new)
        again = new.claim("1", "preview")
        assert not old.complete(report_of(lost), "attempt-1.mp4")
        old.refresh()
        assert not old.report(report_of(lost))
        assert new.complete(report_of(again), "attempt-2.mp4")

    def test_the_old_one_leads_again_when_the_new_one_is_gone(self, old, new, clock):
        old.refresh()
        self.pass_time(clock, old)
        assert old.claim("1", "preview").id == "waiting"

    def test_a_dead_one_whose_clock_was_a_year_ahead_holds_nothing_up(self, journal, clock):
        clock.set_by = 365 * 86_400
        dead = start(journal, clock, name="of another cluster")
        dead.submit(new_task("a"))
        dead.claim("ticket", "preview")
        clock.set_by = 0
        assert start(journal, clock, name="here").claim("another", "preview").attempt == 2

    def test_what_the_old_one_accepted_before_it_noticed_and_died_is_found(self, old, new, clock):
        # The machine of the old one stood still.
        self.pass_time(clock, new)
        old.submit(new_task("late", priority=1))
        self.pass_time(clock, new, seconds=31)
        assert new.claim("1", "preview").id == "late"

    def test_a_clock_that_was_set_back_lets_no_manager_outlive_itself(self, old, new, clock):
        clock.set_by -= 86_400
        self.pass_time(clock, old, new, seconds=2)
        self.pass_time(clock, old)
        assert old.claim("1", "preview").id == "waiting"

    def test_a_successor_of_the_old_one_does_not_lead(self, old, new, journal, clock):
        successor = start(journal, clock, name="old")
        assert successor.claim("1", "preview") is None
        assert successor.report(report_of(state(old, "running")))

    def test_the_same_key_at_both_gives_one_task(self, old, new):
        first = old.submit(new_task("a", idempotency_key="k"))
        assert new.submit(new_task("b", idempotency_key="k")).id == first.id
