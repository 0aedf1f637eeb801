"""Tells those who asked that their task has ended, until they have taken note of it."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from serve_app.schemas import TaskResponse
from serve_app.task import Task, TaskSnapshot
from serve_app.task_store import TaskStore
from serve_app.webhooks import WebhookFailed, deliver

# Seconds between two attempts: nearly a day in all, for a receiver that is being repaired.
PAUSES_S = (5, 30, 120, 600, 3600, 18_000, 43_200)

_AT_ONCE = 20

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class Notifier:
    """Sends what the journal says is due.

    Args:
        store: the journal.
        secret: what messages are signed with.
        allow_private: see `webhooks.resolve`.
        clock: seconds since the epoch.
    """

    store: TaskStore
    secret: bytes
    allow_private: bool
    clock: Callable[[], float] = time.time

    async def notify(self) -> None:
        """Make one attempt at every message that is due."""
        due = self.store.webhooks_due(self.clock(), _AT_ONCE)
        await asyncio.gather(*map(self._notify, due))

    async def _notify(self, task: Task) -> None:
        now = self.clock()
        try:
            await deliver(
                str(task.webhook_url),
                f"msg_{task.id}",
                _message(task),
                int(now),
                self.secret,
                allow_private=self.allow_private,
            )
        except WebhookFailed as error:
            self._put_off(task, now, error)
        else:
            self.store.save(replace(task, webhook_at=None))

    def _put_off(self, task: Task, now: float, error: WebhookFailed) -> None:
        failures = task.webhook_failures + 1
        given_up = failures > len(PAUSES_S)
        logger.warning(
            "task %s: its webhook failed %d times (%s)%s",
            task.id,
            failures,
            error,
            "; no further attempt" if given_up else "",
        )
        due = None if given_up else now + PAUSES_S[failures - 1]
        self.store.save(replace(task, webhook_failures=failures, webhook_at=due))


def _message(task: Task) -> bytes:
    """The form that Standard Webhooks recommends, around what `GET /task` answers."""
    # Its links need a key, where keys are needed: a message may lie about for a day.
    answer = TaskResponse.of(TaskSnapshot(task, queue_position=None, eta_seconds=None), sign_url=str)
    data = answer.model_dump(mode="json")
    message = {"type": f"task.{task.status.value}", "timestamp": data["finished_at"], "data": data}
    return json.dumps(message, ensure_ascii=False).encode()
