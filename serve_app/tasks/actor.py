"""The task manager as a detached Ray actor, which issues tickets and watches the Serve application."""

import asyncio
import functools
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

import ray
from ray.exceptions import ActorDiedError, RayError
from ray.serve.schema import ApplicationStatus

from serve_app.cluster.health import examine
from serve_app.errors import ApiError
from serve_app.schemas import Health
from serve_app.settings import Settings
from serve_app.storage.local import LocalStorage
from serve_app.task import Task, TaskReport
from serve_app.tasks.code_version import CODE_VERSION
from serve_app.tasks.journal import Journal
from serve_app.tasks.manager import TaskManager
from serve_app.tasks.notifier import Notifier
from serve_app.tasks.overview import Overview
from serve_app.tasks.sweeper import Sweeper
from serve_app.tasks.tickets import Tickets
from serve_app.tasks.webhooks import load_secret

_SUPERVISION_PERIOD_S = 1.0
_SWEEP_PERIOD_S = 60.0
_NOTIFICATION_PERIOD_S = 1.0
_OBSERVATION_TIMEOUT_S = 10.0

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("ray.serve")


def _of_manager(
    method: Callable[Concatenate[TaskManager, P], R],
) -> Callable[Concatenate["TaskManagerActor", P], R]:
    """A method of the actor that calls the manager's method of the same name."""

    @functools.wraps(method)
    def call(actor: "TaskManagerActor", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(actor._manager, *args, **kwargs)

    return call


def _of_overview(
    method: Callable[Concatenate[Overview, P], R],
) -> Callable[Concatenate["TaskManagerActor", P], R]:
    """A method of the actor that calls the overview's method of the same name."""

    @functools.wraps(method)
    def call(actor: "TaskManagerActor", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(actor._manager.overview, *args, **kwargs)

    return call


class TaskManagerActor:
    """The methods that other processes may call, and the work that the manager does periodically.

    Replicas and ingresses of the previous release call these methods too, by name.

    Args:
        settings: the builder's arguments.
        deployments: the deployment of each engine, by the engine's name.
    """

    async def __init__(self, settings: Settings, deployments: Mapping[str, str]):  # type: ignore[misc]  # Ray awaits it, in the actor's event loop
        self._settings = settings
        self._deployments = deployments
        self._health = Health()
        storage = LocalStorage(settings.data_dir)
        journal = Journal(settings.journal_url)
        self._manager = TaskManager(
            journal,
            settings,
            # We are on the head node, which lives as long as its cluster.
            name=ray.get_runtime_context().get_node_id(),
            has_room=lambda: storage.has_room(settings.min_free_bytes),
        )
        self._tickets = Tickets(self._manager, deployments)
        self._sweeper = Sweeper(journal, storage, settings.keep_tasks_s, settings.keep_uploads_s)
        secret = load_secret(settings.data_dir / "webhook_secret")
        self._notifier = Notifier(journal, secret, settings.allow_private_webhooks)
        # The event loop keeps only weak references to its tasks.
        self._loops = [
            asyncio.create_task(every(_SUPERVISION_PERIOD_S, self._supervise, "supervision of the tasks")),
            asyncio.create_task(every(_SWEEP_PERIOD_S, self._sweep, "removal of old files")),
            asyncio.create_task(every(_NOTIFICATION_PERIOD_S, self._notify, "sending of webhooks")),
        ]

    def identity(self) -> tuple[int, tuple[Settings, Mapping[str, str]]]:
        """The version of this actor's code and the arguments it was started with.

        Ingress replicas of every release read it, so it stays a pair that begins with the version.
        """
        return CODE_VERSION, (self._settings, self._deployments)

    def health(self) -> Health:
        """The state of the application and its replicas when they were last examined."""
        return self._health

    admit = _of_manager(TaskManager.admit)
    knows = _of_overview(Overview.knows)
    repeated = _of_overview(Overview.repeated)
    snapshot = _of_overview(Overview.snapshot)
    page = _of_overview(Overview.page)
    counts = _of_overview(Overview.counts)
    cancel = _of_manager(TaskManager.cancel)
    remove = _of_manager(TaskManager.remove)
    report = _of_manager(TaskManager.report)
    reject = _of_manager(TaskManager.reject)
    lose = _of_manager(TaskManager.lose)

    def submit(self, task: Task) -> Task:
        """See `TaskManager.submit`; a ticket is issued at once."""
        accepted = self._manager.submit(task)
        self._tickets.issue()
        return accepted

    def claim(self, ticket_id: str, engine: str) -> Task | None:
        """See `TaskManager.claim`."""
        self._tickets.arrived(ticket_id)
        return self._manager.claim(ticket_id, engine)

    def complete(self, report: TaskReport, video: str) -> bool:
        """See `TaskManager.complete`; the next ticket is issued at once."""
        accepted = self._manager.complete(report, video)
        self._tickets.issue()
        return accepted

    async def _supervise(self) -> None:
        self._manager.refresh()
        self._manager.expire()
        self._tickets.issue()
        await self._observe()

    async def _sweep(self) -> None:
        await asyncio.to_thread(self._sweeper.sweep)

    async def _notify(self) -> None:
        if self._manager.leadership.leading:
            await self._notifier.notify()

    async def _observe(self) -> None:
        try:
            self._health = await asyncio.wait_for(
                asyncio.to_thread(examine, self._settings, self._deployments), _OBSERVATION_TIMEOUT_S
            )
        except ActorDiedError:
            # Serve was shut down, and its client in this process would call the dead controller for ever.
            # Ray restarts this actor, and the journal is complete.
            os._exit(1)
        except (RayError, TimeoutError, asyncio.TimeoutError) as error:
            # A controller that restarts is no reason to take work from the replicas.
            logger.warning("Serve's controller does not respond: %s", type(error).__name__)
            self._health = Health()
            return
        # An application that is being deleted waits for its replicas: make them hand their work back.
        self._manager.hand_out(self._health.application not in (None, ApplicationStatus.DELETING))


async def every(period_s: float, step: Callable[[], Awaitable[None]], what: str) -> None:
    """Repeat a step for ever; one that fails is logged and repeated like any other.

    Args:
        period_s: seconds between the end of a step and the next.
        step: what to do.
        what: its name in the log.
    """
    while True:
        try:
            await step()
        except ApiError as error:
            logger.warning("%s failed, next try in %g s: %s", what, period_s, error.message)
        except Exception:
            logger.exception("%s failed, next try in %g s", what, period_s)
        await asyncio.sleep(period_s)
