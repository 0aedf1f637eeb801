"""Which of two managers on one journal hands out work, and what becomes of the other's."""

import pytest

from serve_app.errors import QueueFull, TaskFinished
from serve_app.task import TaskStatus
from tests.serve_app.managers import LEASE_S, start, state, watch
from tests.serve_app.new_tasks import DIED, new_task, report_of


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
            assert manager.overview.counts() == {TaskStatus.PENDING: 1, TaskStatus.PROCESSING: 1}
        new.claim("1", "preview")
        for manager in (old, new):
            assert manager.overview.counts() == {TaskStatus.PENDING: 0, TaskStatus.PROCESSING: 2}

    def test_both_refuse_what_is_too_much(self, new, journal, clock):
        old = start(journal, clock, name="old", max_pending=3, max_pending_per_key=1)
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
