"""Tickets: what waits in Serve's queues in place of the tasks.

For every task that could start, one ticket waits in the queue of the engine's deployment. It carries
nothing but its id: the replica that gets it claims the best task of that moment. This way Serve's own
autoscaler sees the length of the queue, while the manager decides the order.
"""

import asyncio
import logging
import uuid
from collections.abc import Mapping

from ray.exceptions import RayActorError

from models.notices import Notice
from serve_app.cluster.handles import waiting_handle
from serve_app.settings import APP_NAME
from serve_app.tasks.manager import TaskManager

logger = logging.getLogger("ray.serve")


class Tickets:
    """Keeps at least one ticket waiting for each task that could start.

    Args:
        manager: has the tasks, and is notified when a ticket ends.
        deployments: the deployment of each engine, by the engine's name.
    """

    def __init__(self, manager: TaskManager, deployments: Mapping[str, str]):
        self._manager = manager
        self._deployments = deployments
        self._waiting: dict[str, set[str]] = {engine: set() for engine in deployments}
        # The event loop keeps only weak references to its tasks.
        self._followed: set[asyncio.Task[None]] = set()

    def issue(self) -> None:
        """Send the tickets that are missing. Call this in an event loop."""
        for engine, deployment in self._deployments.items():
            for _ in range(self._manager.waiting(engine) - len(self._waiting[engine])):
                ticket_id = str(uuid.uuid4())
                self._waiting[engine].add(ticket_id)
                following = asyncio.create_task(self._follow(deployment, ticket_id))
                self._followed.add(following)
                following.add_done_callback(self._followed.discard)

    def arrived(self, ticket_id: str) -> None:
        """A replica has this ticket, so it no longer waits."""
        for tickets in self._waiting.values():
            tickets.discard(ticket_id)

    async def _follow(self, deployment: str, ticket_id: str) -> None:
        reason = Notice.of("replica_without_result")
        try:
            await waiting_handle(deployment, APP_NAME).work.remote(ticket_id)
        except RayActorError:
            reason = Notice.of("replica_died")
        except Exception as error:
            logger.warning("ticket %s of %s failed: %s", ticket_id, deployment, error)
            reason = Notice.of("replica_failed")
        self.arrived(ticket_id)
        self._manager.ticket_ended(ticket_id, reason)
