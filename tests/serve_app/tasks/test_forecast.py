"""How long a task still takes, learnt from those before it."""

import pytest

from tests.serve_app.managers import look
from tests.serve_app.new_tasks import new_task, report_of


class TestEta:
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
