"""A manager on each kind of journal, with a clock and a disk that the test moves and fills."""

import pytest

from serve_app.tasks.journal import Journal
from serve_app.tasks.manager import TaskManager
from tests.serve_app.managers import Clock, start


class Disk:
    full = False

    def has_room(self) -> bool:
        return not self.full


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def manager(journal: Journal, clock: Clock, disk: Disk) -> TaskManager:
    return start(journal, clock, has_room=disk.has_room)
