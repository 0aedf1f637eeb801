"""What owners see of their tasks, one by one and in pages."""

import pytest

from serve_app.errors import TaskNotFound
from serve_app.task import TaskStatus
from serve_app.tasks.manager import TaskManager
from serve_app.tasks.overview import Overview
from tests.serve_app.managers import finish, method_here, state
from tests.serve_app.new_tasks import new_task, report_of


class TestOwners:
    @pytest.fixture(autouse=True)
    def _tasks(self, manager):
        for name, owner in (("a", "ann"), ("b", "bob"), ("c", "ann")):
            manager.submit(new_task(name, owner=owner, idempotency_key="k" if name != "c" else None))

    @pytest.mark.parametrize("method", [Overview.snapshot, TaskManager.cancel])
    def test_another_s_task_is_not_there(self, manager, method):
        with pytest.raises(TaskNotFound):
            method_here(manager, method)("b", owner="ann")
        assert state(manager, "b").status is TaskStatus.PENDING
        assert method_here(manager, method)("a", owner="ann").task.id == "a"

    def test_a_list_holds_one_s_own_tasks(self, manager):
        def ids(owner):
            return [snapshot.task.id for snapshot in manager.overview.page(owner, None, None, 10).snapshots]

        assert ids("ann") == ["c", "a"]
        assert ids("eve") == []
        assert ids(None) == ["c", "b", "a"]

    def test_two_owners_may_use_the_same_key(self, manager):
        assert manager.submit(new_task("x", owner="ann", idempotency_key="k")).id == "a"
        assert manager.submit(new_task("y", owner="bob", idempotency_key="k")).id == "b"
        assert manager.submit(new_task("z", owner="eve", idempotency_key="k")).id == "z"


class TestPages:
    def test_pages_hold_every_task_once_the_newest_first(self, manager):
        for name in "abcde":
            manager.submit(new_task(name))
        seen, cursor = [], None
        for _ in range(3):
            page = manager.overview.page(None, None, cursor, 2)
            seen += [snapshot.task.id for snapshot in page.snapshots]
            cursor = page.next_cursor
        assert (seen, cursor) == (list("edcba"), None)

    def test_a_page_that_holds_just_the_rest_is_the_last(self, manager):
        for name in "ab":
            manager.submit(new_task(name))
        assert manager.overview.page(None, None, None, 2).next_cursor is None

    def test_tasks_are_shown_as_they_stand(self, manager):
        for name in "abc":
            manager.submit(new_task(name))
        finish(manager)
        manager.report(report_of(manager.claim("2", "preview"), fraction=0.25))
        by_status = {status: manager.overview.page(None, status, None, 10).snapshots for status in TaskStatus}
        assert {status: [s.task.id for s in found] for status, found in by_status.items()} == {
            TaskStatus.COMPLETED: ["a"],
            TaskStatus.PROCESSING: ["b"],
            TaskStatus.PENDING: ["c"],
            TaskStatus.FAILED: [],
        }
        assert by_status[TaskStatus.PROCESSING][0].task.progress.fraction == 0.25
        assert by_status[TaskStatus.PENDING][0].queue_position == 1
