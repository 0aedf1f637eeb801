"""As many tickets wait as tasks could start; one that ends without an end of its task gives the task back."""

import asyncio
from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError

from serve_app.engines.registry import deployments
from serve_app.task import TaskStatus
from serve_app.tasks.tickets import Tickets
from tests.serve_app.managers import finish, state
from tests.serve_app.new_tasks import new_task


@pytest.fixture(params=["sqlite"])
def journal_url(tmp_path):
    return f"sqlite:///{tmp_path / 'tasks.db'}"


class Queues:
    """Serve's queues, of which the test takes what the replicas would."""

    def __init__(self):
        self.sent: dict[str, asyncio.Future[None]] = {}
        self.deployments = []

    def handle(self, deployment: str, _application: str) -> SimpleNamespace:
        async def work(ticket_id: str) -> None:
            self.deployments.append(deployment)
            self.sent[ticket_id] = asyncio.get_running_loop().create_future()
            await self.sent[ticket_id]

        return SimpleNamespace(work=SimpleNamespace(remote=work))


@pytest.fixture
def queues():
    return Queues()


@pytest.fixture
def tickets(manager, queues, monkeypatch):
    monkeypatch.setattr("serve_app.tasks.tickets.waiting_handle", queues.handle)
    return Tickets(manager, deployments())


async def issue(tickets):
    tickets.issue()
    await asyncio.sleep(0)


def test_every_task_that_could_start_has_a_ticket_in_its_engine_s_queue(manager, queues, tickets):
    async def submit():
        for name, engine in (("a", "preview"), ("b", "preview"), ("c", "echomimic")):
            manager.submit(new_task(name, engine=engine))
            await issue(tickets)
        await issue(tickets)

    asyncio.run(submit())
    assert sorted(queues.deployments) == ["EchoMimic", "Preview", "Preview"]


def test_a_ticket_that_arrived_no_longer_waits(manager, queues, tickets):
    async def work():
        manager.submit(new_task("a"))
        await issue(tickets)
        (ticket,) = queues.sent
        tickets.arrived(ticket)
        finish(manager, ticket)
        manager.submit(new_task("b"))
        await issue(tickets)

    asyncio.run(work())
    assert len(queues.sent) == 2


@pytest.mark.parametrize("failure", [RayActorError(), RuntimeError("not deployed"), None])
def test_a_ticket_that_ends_before_its_replica_claimed_is_replaced(manager, queues, tickets, failure):
    async def work():
        manager.submit(new_task("a"))
        await issue(tickets)
        (ticket,) = queues.sent.values()
        end(ticket, failure)
        await asyncio.sleep(0)
        await issue(tickets)

    asyncio.run(work())
    assert len(queues.sent) == 2
    assert state(manager, "a").failures == 0


@pytest.mark.parametrize("failure", [RayActorError(), RuntimeError("unexpected"), None])
def test_a_ticket_that_ends_while_its_task_is_processing_gives_it_back(manager, queues, tickets, failure):
    async def work():
        manager.submit(new_task("a"))
        await issue(tickets)
        (ticket,) = queues.sent
        tickets.arrived(ticket)
        manager.claim(ticket, "preview")
        end(queues.sent[ticket], failure=failure)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(work())
    assert (state(manager, "a").status, state(manager, "a").failures) == (TaskStatus.PENDING, 1)


def end(ticket, failure):
    if failure is None:
        ticket.set_result(None)
    else:
        ticket.set_exception(failure)
