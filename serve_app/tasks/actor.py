"""The task manager as a detached Ray actor.

For every task that could start, one *ticket* waits in the queue of the engine's deployment. It
carries nothing but its id: the replica that gets it claims the best task of that moment. So Serve's
own autoscaler sees the depth of the queue, and the order is the manager's.
"""

import asyncio
import logging
import os
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayActorError, RayError
from ray.serve.schema import ApplicationStatus

from models.notices import Notice
from serve_app.cluster.handles import waiting_handle
from serve_app.cluster.health import Health, examine
from serve_app.errors import ApiError
from serve_app.settings import APP_NAME, Settings
from serve_app.storage.local import LocalStorage
from serve_app.task import Task, TaskReport
from serve_app.tasks.journal import Journal
from serve_app.tasks.manager import TaskManager
from serve_app.tasks.notifier import Notifier
from serve_app.tasks.sweeper import Sweeper
from serve_app.tasks.webhooks import load_secret

# Raised with every change to the manager: the actor outlives the application, and newer code replaces it.
CODE_VERSION = 5

_SUPERVISION_PERIOD_S = 1.0
_SWEEP_PERIOD_S = 60.0
_NOTIFICATION_PERIOD_S = 1.0
_OBSERVATION_TIMEOUT_S = 10.0

logger = logging.getLogger("ray.serve")


class TaskManagerActor(TaskManager):
    """The manager, with tickets in Serve's queues and a watch over the application.

    Args:
        settings: the builder's arguments.
        deployments: the deployment of each engine, by the engine's name.
    """

    async def __init__(self, settings: Settings, deployments: Mapping[str, str]):  # type: ignore[misc]  # Ray awaits it, in the actor's event loop
        storage = LocalStorage(settings.data_dir)
        super().__init__(
            Journal(settings.journal_url),
            # We are on the head node, which lives as long as its cluster.
            name=ray.get_runtime_context().get_node_id(),
            lease_s=settings.lease_s,
            stall_timeout_s=settings.stall_timeout_s,
            max_failures=settings.max_failures,
            max_pending=settings.max_pending,
            max_pending_per_owner=settings.max_pending_per_key,
            has_room=lambda: storage.has_room(settings.min_free_bytes),
        )
        self._sweeper = Sweeper(self._journal, storage, settings.keep_tasks_s, settings.keep_uploads_s)
        self._settings = settings
        self._deployments = deployments
        self._waiting_tickets: dict[str, set[str]] = {engine: set() for engine in deployments}
        self._health = Health()
        secret = load_secret(settings.data_dir / "webhook_secret")
        self._notifier = Notifier(self._journal, secret, settings.allow_private_webhooks)
        loops = (self._supervise, self._sweep, self._notify)
        self._background = {asyncio.create_task(loop()) for loop in loops}

    def identity(self) -> tuple[int, tuple[Settings, Mapping[str, str]]]:
        """The version of this actor's code and the arguments it was started with.

        Ingress replicas of every release read it: it stays a pair that begins with the version.
        """
        return CODE_VERSION, (self._settings, self._deployments)

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
                asyncio.to_thread(examine, self._settings, self._deployments), _OBSERVATION_TIMEOUT_S
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
        for engine, deployment in self._deployments.items():
            tickets = self._waiting_tickets[engine]
            for _ in range(self.waiting(engine) - len(tickets)):
                ticket_id = str(uuid.uuid4())
                tickets.add(ticket_id)
                self._spawn(self._follow(deployment, ticket_id))

    async def _follow(self, deployment: str, ticket_id: str) -> None:
        reason = Notice.of("replica_without_result")
        try:
            handle = waiting_handle(deployment, APP_NAME)
            await handle.work.remote(ticket_id)
        except RayActorError:
            reason = Notice.of("replica_died")
        except Exception as error:
            logger.warning("ticket %s of %s failed: %s", ticket_id, deployment, error)
            reason = Notice.of("replica_failed")
        for tickets in self._waiting_tickets.values():
            tickets.discard(ticket_id)
        self.ticket_ended(ticket_id, reason)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        # The event loop itself holds its tasks only weakly.
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
