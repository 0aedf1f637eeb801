"""An attempt that stops reporting, or reports no progress, is given up."""

import pytest

from models.notices import Notice
from serve_app.task import TaskStatus
from serve_app.tasks.leases import AttemptKey, Leases
from tests.serve_app.managers import LEASE_S, STALL_S, state, watch
from tests.serve_app.new_tasks import new_task, report_of

SILENT, STALLED = Notice.of("no_report", seconds=15), Notice.of("no_progress", seconds=300)
FIRST, SECOND = AttemptKey("a", 1), AttemptKey("a", 2)


@pytest.fixture
def leases(clock):
    return Leases(lease_s=15, stall_timeout_s=300, clock=clock.steady)


def pass_time(leases, clock, seconds, *running):
    """The last answer of a check every second."""
    reasons = {}
    for _ in range(seconds):
        clock.now += 1
        reasons = leases.check(running)
    return reasons


def test_a_lease_begins_once(leases, clock):
    leases.begin(FIRST)
    pass_time(leases, clock, 10, FIRST)
    leases.begin(FIRST)
    assert pass_time(leases, clock, 6, FIRST) == {FIRST: SILENT}


def test_a_report_renews_the_lease_of_its_attempt_alone(leases, clock):
    leases.begin(FIRST)
    leases.begin(SECOND)
    pass_time(leases, clock, 10, FIRST, SECOND)
    leases.renew(SECOND, counter=0)
    assert pass_time(leases, clock, 6, FIRST, SECOND) == {FIRST: SILENT}


def test_only_a_counter_that_rises_is_progress(leases, clock):
    leases.begin(FIRST)
    for counter in [1] + [0, 1] * 15:
        leases.renew(FIRST, counter)
        assert pass_time(leases, clock, 10, FIRST) in ({}, {FIRST: STALLED})
    assert pass_time(leases, clock, 1, FIRST) == {FIRST: STALLED}
    leases.renew(FIRST, counter=2)
    assert leases.check([FIRST]) == {}


def test_an_attempt_that_is_no_longer_kept_starts_anew(leases, clock):
    leases.begin(FIRST)
    pass_time(leases, clock, 10, FIRST)
    leases.keep([SECOND])
    leases.keep([FIRST, SECOND])
    assert pass_time(leases, clock, 15, FIRST) == {}
    assert pass_time(leases, clock, 1, FIRST, SECOND).keys() == {FIRST, SECOND}


def test_of_a_long_gap_between_two_checks_a_third_of_a_lease_counts(leases, clock):
    leases.begin(FIRST)
    clock.now += 3600
    assert leases.check([FIRST]) == {}
    assert pass_time(leases, clock, 10, FIRST) == {}
    assert pass_time(leases, clock, 1, FIRST) == {FIRST: SILENT}


class TestSilence:
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

    def test_a_gap_between_two_checks_is_not_taken_for_silence(self, manager, clock):
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
