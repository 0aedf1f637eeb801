"""A service that is broken on purpose is caught; the same one as it ships is not."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.chaos.plan import Order, Round
from tests.chaos.release import Release

# Serve itself ends a replica that does not answer for longer than this.
PATIENCE_S = 30.0

MANAGER = "serve_app/tasks/manager.py"


@pytest.fixture
def folder():
    """A folder with a short path: Ray has sockets below it."""
    path = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def release(folder):
    return Release(folder / "code")


@pytest.fixture
def misses(run_campaign, folder, release):
    """Says what is missed in rounds with these faults, each on two long videos."""

    def run(*faults):
        with run_campaign(folder, release, nodes=1, patience_s=PATIENCE_S) as running:
            outcomes = [running.run(round_of(fault, number)) for number, fault in enumerate(faults)]
        return [miss for outcome in outcomes for miss in outcome.misses]

    return run


def round_of(fault, number):
    orders = tuple(Order(seed, frame_count=144, delay_s=0) for seed in (2 * number, 2 * number + 1))
    return Round(number, fault, delay_s=1, before=orders, during=(), seed=number)


def test_the_service_as_it_ships_keeps_its_promises(misses):
    assert misses("manager_killed", "engine_frozen") == []


def test_a_manager_without_a_journal_is_caught(misses, release):
    memory = 'sa.create_engine("sqlite:///file:journal?mode=memory&cache=shared&uri=true"'
    release.replace("serve_app/tasks/journal.py", "sa.create_engine(url", memory)
    assert any("accepted, but forgotten" in miss for miss in misses("manager_killed"))


def test_a_manager_without_leases_is_caught(misses, release):
    before_the_leases = "        self._forgive_gap(now)\n"
    release.replace(
        "serve_app/tasks/leases.py", before_the_leases, f"{before_the_leases}        return {{}}\n"
    )
    assert any("was not taken back" in miss for miss in misses("engine_frozen"))


def test_a_manager_that_listens_to_old_attempts_is_caught(misses, release):
    release.replace("serve_app/tasks/active.py", " or task.attempt != attempt:", ":")
    assert any("is its video" in miss for miss in misses("engine_frozen"))


def test_a_change_that_no_longer_fits_is_refused(release):
    with pytest.raises(ValueError, match="found it 0 times"):
        release.replace(MANAGER, "text that is not there", "")
