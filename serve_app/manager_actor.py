"""The task manager as a detached Ray actor, and the way to it from other processes.

For every task that could start, one *ticket* waits in the queue of the engine's deployment. It
carries nothing but its id: the replica that gets it claims the best task of that moment. So Serve's
own autoscaler sees the depth of the queue, and the order is the manager's.
"""

import asyncio
import contextlib
import logging
import os
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from ray import serve
from ray.exceptions import ActorDiedError, RayActorError, RayError, RayTaskError
from ray.serve.schema import ApplicationStatus

from serve_app.errors import ApiError, JournalUnavailable, ManagerUnavailable, StorageFull
from serve_app.health import Health, examine
from serve_app.notifier import Notifier
from serve_app.settings import APP_NAME, DEPLOYMENTS, Settings
from serve_app.storage import Storage
from serve_app.sweeper import Sweeper
from serve_app.task import Task, TaskReport
from serve_app.task_manager import TaskManager
from serve_app.task_store import TaskStore
from serve_app.webhooks import load_secret

NAMESPACE = "echomimic"
ACTOR_NAME = "task_manager"

# Raised with every change to the manager: the actor outlives the application, and newer code replaces it.
CODE_VERSION = 4

# Serve counts running work at the replicas then, also work whose ticket died with a manager.
AUTOSCALING_ENVIRONMENT = {"RAY_SERVE_COLLECT_AUTOSCALING_METRICS_ON_HANDLE": "0"}

_SUPERVISION_PERIOD_S = 1.0
_SWEEP_PERIOD_S = 60.0
_NOTIFICATION_PERIOD_S = 1.0
_OBSERVATION_TIMEOUT_S = 10.0
_CALL_PAUSE_S = 0.5
# Every start takes a process of its own.
_START_PAUSE_S = 3.0

_JOURNAL_ERRORS = (StorageFull, JournalUnavailable)

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("ray.serve")


class TaskManagerActor(TaskManager):
    """The manager, with tickets in Serve's queues and a watch over the application."""

    async def __init__(self, settings: Settings):  # type: ignore[misc]  # Ray awaits it, in the actor's event loop
        storage = Storage(settings.data_dir)
        super().__init__(
            TaskStore(settings.journal_url),
            # We are on the head node, which lives as long as its cluster.
            name=ray.get_runtime_context().get_node_id(),
            lease_s=settings.lease_s,
            stall_timeout_s=settings.stall_timeout_s,
            max_failures=settings.max_failures,
            max_pending=settings.max_pending,
            max_pending_per_owner=settings.max_pending_per_key,
            has_room=lambda: storage.has_room(settings.min_free_bytes),
        )
        self._sweeper = Sweeper(self._store, storage, settings.keep_tasks_s, settings.keep_uploads_s)
        self._settings = settings
        self._waiting_tickets: dict[str, set[str]] = {engine: set() for engine in DEPLOYMENTS}
        self._health = Health()
        secret = load_secret(settings.data_dir / "webhook_secret")
        self._notifier = Notifier(self._store, secret, settings.allow_private_webhooks)
        loops = (self._supervise, self._sweep, self._notify)
        self._background = {asyncio.create_task(loop()) for loop in loops}

    def identity(self) -> tuple[int, Settings]:
        """The version of this actor's code and the settings it runs with."""
        return CODE_VERSION, self._settings

    def health(self) -> Health:
        """What was last seen of the application and its replicas."""
        return self._health

    def submit(self, task: Task) -> Task:
        """See `TaskManager.submit`; a ticket goes out at once."""
        task = super().submit(task)
        self._issue_tickets()
        return task

    def claim(self, ticket_id: str, engine: str) -> Task | None:
        """See `TaskManager.claim`."""
        self._waiting_tickets[engine].discard(ticket_id)
        return super().claim(ticket_id, engine)

    def complete(self, report: TaskReport, video: str) -> bool:
        """See `TaskManager.complete`."""
        accepted = super().complete(report, video)
        self._issue_tickets()
        return accepted

    async def _supervise(self) -> None:
        while True:
            try:
                self.refresh()
                self.expire()
                self._issue_tickets()
                await self._observe()
            except ApiError as error:
                logger.warning("the tasks are not supervised: %s", error.message)
            except Exception:
                logger.exception("supervision of the tasks failed; it goes on")
            await asyncio.sleep(_SUPERVISION_PERIOD_S)

    async def _sweep(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._sweeper.sweep)
            except Exception:
                logger.exception("old files could not be removed; another time")
            await asyncio.sleep(_SWEEP_PERIOD_S)

    async def _notify(self) -> None:
        while True:
            try:
                if self._leadership.leading:
                    await self._notifier.notify()
            except Exception:
                logger.exception("webhooks could not be sent; another time")
            await asyncio.sleep(_NOTIFICATION_PERIOD_S)

    async def _observe(self) -> None:
        try:
            self._health = await asyncio.wait_for(
                asyncio.to_thread(examine, self._settings), _OBSERVATION_TIMEOUT_S
            )
        except ActorDiedError:
            # Serve was shut down, and its client in this process would stay with the dead controller for
            # good. Ray starts us anew, and the journal is complete.
            os._exit(1)
        except (RayError, TimeoutError, asyncio.TimeoutError) as error:
            # A controller that restarts is no reason to take work from the replicas.
            logger.warning("Serve's controller does not answer: %s", type(error).__name__)
            self._health = Health()
            return
        # An application that goes away waits for its replicas: have them hand their work back.
        self.hand_out(self._health.application not in (None, ApplicationStatus.DELETING))

    def _issue_tickets(self) -> None:
        for engine, deployment in DEPLOYMENTS.items():
            tickets = self._waiting_tickets[engine]
            for _ in range(self.waiting(engine) - len(tickets)):
                ticket_id = str(uuid.uuid4())
                tickets.add(ticket_id)
                self._spawn(self._follow(deployment, ticket_id))

    async def _follow(self, deployment: str, ticket_id: str) -> None:
        reason = "its replica ended without a result"
        try:
            handle = serve.get_deployment_handle(deployment, APP_NAME, _check_exists=False)
            await handle.work.remote(ticket_id)
        except RayActorError:
            reason = "its replica died"
        except Exception as error:
            logger.warning("ticket %s of %s failed: %s", ticket_id, deployment, error)
            reason = "its replica failed"
        for tickets in self._waiting_tickets.values():
            tickets.discard(ticket_id)
        self.ticket_ended(ticket_id, reason)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        # The event loop itself holds its tasks only weakly.
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class ManagerClient:
    """Calls the manager; rides out its restarts and its replacement by newer code.

    Ray does not restart an actor that could not start, as when its database is away: a manager that
    ended so is started anew by the next call.

    Args:
        settings: what a manager that does not run yet is started with.
        timeout_s: seconds after which a call is given up; None waits for as long as it takes.
    """

    def __init__(self, settings: Settings, timeout_s: float | None):
        self._settings = settings
        self._timeout_s = timeout_s
        self._actor: Any = None

    async def start(self) -> None:
        """Start the manager unless there is one; whether it can start is not waited for."""
        self._actor = await asyncio.to_thread(_start_manager, self._settings)

    async def ensure(self) -> None:
        """Start the manager, or replace one that runs older code or other settings.

        An older release never replaces a newer manager.

        Raises:
            ManagerUnavailable: it cannot start, or does not answer.
        """
        while self._outdated(*await self.call(TaskManagerActor.identity)):
            # No drain: the journal is written through and running work is adopted by the successor.
            await asyncio.to_thread(_end_manager)
            self._actor = None

    async def call(self, method: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of a method of `TaskManagerActor`, called there.

        Raises:
            ManagerUnavailable: it did not answer within `timeout_s`, or cannot start.
            ApiError: what the method raised. Without a timeout, the start of the manager and what it cannot
                write to its journal are repeated until they succeed.
        """
        answer: Coroutine[Any, Any, R] = self._call_until_answered(method.__name__, *args, **kwargs)
        try:
            return await asyncio.wait_for(answer, self._timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            raise ManagerUnavailable("the task manager does not answer; try again in a minute") from None

    async def _call_until_answered(self, method: str, *args: Any, **kwargs: Any) -> Any:
        while True:
            started = self._actor is None
            if started:
                await self.start()
            try:
                return await getattr(self._actor, method).remote(*args, **kwargs)
            except RayTaskError as error:
                if not (self._patient and isinstance(error.cause, _JOURNAL_ERRORS)):
                    raise (error.cause if isinstance(error.cause, ApiError) else error) from None
                await asyncio.sleep(_CALL_PAUSE_S)
            except RayActorError as error:
                self._actor = None
                # Only of the one that we started ourselves do we know that there is no other.
                await self._outlast(error, cannot_start=started and error.actor_init_failed)

    async def _outlast(self, error: RayActorError, *, cannot_start: bool) -> None:
        """Wait until another call may succeed."""
        if not cannot_start:
            await asyncio.sleep(_CALL_PAUSE_S)
            return
        logger.error("the task manager cannot start: %s", error)
        if not self._patient:
            # The cause has a stack trace, which is nothing for clients.
            raise ManagerUnavailable("the task manager cannot start; the log of the service says why")
        await asyncio.sleep(_START_PAUSE_S)

    @property
    def _patient(self) -> bool:
        return self._timeout_s is None

    def _outdated(self, version: int, settings: Settings) -> bool:
        return version < CODE_VERSION or (version == CODE_VERSION and settings != self._settings)


def _start_manager(settings: Settings) -> Any:
    return (
        ray.remote(TaskManagerActor)
        .options(
            name=ACTOR_NAME,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=0,
            # On the head node: a GPU worker may go away, and the SQLite file with it.
            resources={"node:__internal_head__": 0.001},
            runtime_env={"env_vars": AUTOSCALING_ENVIRONMENT},
        )
        .remote(settings)
    )


def _end_manager() -> None:
    # Another ingress may have ended it in this moment.
    with contextlib.suppress(ValueError):
        ray.kill(ray.get_actor(ACTOR_NAME, namespace=NAMESPACE), no_restart=True)
