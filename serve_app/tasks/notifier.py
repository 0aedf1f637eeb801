"""Sends the webhooks of tasks that have ended, again and again until they are received."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from serve_app.schemas import TaskResponse
from serve_app.task import Task, TaskSnapshot
from serve_app.tasks.journal import Journal
from serve_app.tasks.webhooks import WebhookFailed, deliver

# Seconds between two attempts: nearly a day in all, for a receiver that is being repaired.
PAUSES_S = (5, 30, 120, 600, 3600, 18_000, 43_200)

# Each takes a connection, and at most `webhooks.TIMEOUT_S`.
_AT_ONCE = 50

logger = logging.getLogger("ray.serve")


class Notifier:
    """Sends what the journal says is due.

    Args:
        journal: the journal.
        secret: what messages are signed with.
        allow_private: see `webhooks.resolve`.
        clock: seconds since the epoch.
    """

    def __init__(
        self, journal: Journal, secret: bytes, allow_private: bool, clock: Callable[[], float] = time.time
    ):
        self._journal = journal
        self._secret = secret
        self._allow_private = allow_private
        self._clock = clock
        self._under_way: dict[str, asyncio.Task[None]] = {}
        # Outcomes that the journal could not take yet, so that nothing is sent twice because of that.
        self._outcomes: dict[str, Task] = {}

    async def notify(self) -> None:
        """Start sending every message that is due; none waits for another to end."""
        for outcome in list(self._outcomes.values()):
            if not self._note(outcome):
                break
        for task in self._due():
            self._under_way[task.id] = asyncio.create_task(self._attempt(task))

    def _due(self) -> list[Task]:
        # The journal still has as due what is under way, and what it could not take note of.
        busy = self._under_way.keys() | self._outcomes.keys()
        free = _AT_ONCE - len(self._under_way)
        due = self._journal.webhooks_due(self._clock(), free + len(busy))
        return [task for task in due if task.id not in busy][:free]

    async def _attempt(self, task: Task) -> None:
        self._note(await self._send(task))
        del self._under_way[task.id]

    async def _send(self, task: Task) -> Task:
        """The task as it is after one attempt."""
        now = self._clock()
        try:
            await deliver(
                str(task.webhook_url),
                f"msg_{task.id}",
                _message(task),
                int(now),
                self._secret,
                allow_private=self._allow_private,
            )
        except Exception as error:
            # Unforeseen errors too: the message would be sent again every second, without an end.
            return _put_off(task, now, error)
        return replace(task, webhook_at=None)

    def _note(self, outcome: Task) -> bool:
        """Journal the outcome of an attempt; returns whether the journal has it now."""
        self._outcomes[outcome.id] = outcome
        try:
            # Where another manager changed the task first, its change stays.
            self._journal.save(outcome)
        except Exception as error:
            logger.warning(
                "task %s: the outcome of its webhook cannot be journalled now (%s)", outcome.id, error
            )
            return False
        del self._outcomes[outcome.id]
        return True


def _put_off(task: Task, now: float, error: Exception) -> Task:
    failures = task.webhook_failures + 1
    given_up = failures > len(PAUSES_S)
    logger.warning(
        "task %s: its webhook failed %d times (%s)%s",
        task.id,
        failures,
        error,
        "; no further attempt" if given_up else "",
        exc_info=None if isinstance(error, WebhookFailed) else error,
    )
    due = None if given_up else now + PAUSES_S[failures - 1]
    return replace(task, webhook_failures=failures, webhook_at=due)


def _message(task: Task) -> bytes:
    """The form that Standard Webhooks recommends, around what `GET /task` answers."""
    # Its links need a key, where keys are needed: a message may lie about for a day.
    answer = TaskResponse.of(TaskSnapshot(task, queue_position=None, eta_seconds=None), sign_url=str)
    data = answer.model_dump(mode="json")
    message = {"type": f"task.{task.status.value}", "timestamp": data["finished_at"], "data": data}
    return json.dumps(message, ensure_ascii=False).encode()
