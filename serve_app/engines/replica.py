"""The deployments that make videos: a replica claims a task, runs its engine, reports, publishes."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from models.errors import Cancelled, DiskFull, ExplainedError, InputError
from models.notices import Notice
from models.provenance import Provenance
from serve_app.cluster.replica_ports import keep_on_loopback
from serve_app.engines.attempt import Attempt
from serve_app.engines.registry import ENGINES, deployments
from serve_app.settings import Settings
from serve_app.storage.local import LocalStorage, is_disk_full
from serve_app.task import Task
from serve_app.tasks.actor import TaskManagerActor
from serve_app.tasks.manager_client import ManagerClient

_REPORT_PERIOD_S = 0.5

# An engine stops within one window; a thread that takes longer hangs.
_STOP_TIMEOUT_S = 120.0

# A device that works responds in milliseconds, even while it makes a video.
_DEVICE_TIMEOUT_S = 10.0

# Serve replaces a replica after three failed checks, half a minute. Until then it ends one ticket per pause,
# so that it does not swallow all of them.
_TICKET_PAUSE_S = 5.0

logger = logging.getLogger("ray.serve")


class EngineReplica:
    """Works on one task at a time.

    Args:
        name: of the engine, as registered.
        settings: the builder's arguments.
    """

    def __init__(self, name: str, settings: Settings):
        keep_on_loopback()
        self._name = name
        self._settings = settings
        self._engine = ENGINES[name].load(settings)
        self._storage = LocalStorage(settings.data_dir)
        # A running video survives any absence of the manager.
        self._manager = ManagerClient(settings, deployments(), timeout_s=None)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._stop_requested_at: float | None = None
        self._device_lost = False

    async def work(self, ticket_id: str) -> None:
        """Claim the best task for this ticket, if one is left, and see it through."""
        if self._device_lost:
            await asyncio.sleep(_TICKET_PAUSE_S)
            return
        task = await self._manager.call(TaskManagerActor.claim, ticket_id, self._name)
        if task is not None:
            await self._make_video(task)

    async def check_health(self) -> None:
        """Called by Serve, which replaces a replica that raises here."""
        requested_at = self._stop_requested_at
        if requested_at is not None and time.monotonic() - requested_at > _STOP_TIMEOUT_S:
            raise RuntimeError(f"the engine did not stop within {_STOP_TIMEOUT_S:g} s")
        if not await self._device_responds():
            raise RuntimeError(f"{self._engine.device} stopped responding")

    async def _make_video(self, task: Task) -> None:
        provenance = Provenance(self._settings.content_producer, task.id, self._settings.label_text)
        attempt = Attempt(task, self._engine, self._storage, provenance)
        running = asyncio.get_running_loop().run_in_executor(self._executor, attempt.run)
        try:
            await self._report_until_done(attempt, running)
            await self._conclude(task, attempt, running)
        finally:
            # Serve frees the slot of a cancelled request at once, while the thread still has the GPU.
            attempt.stop()
            await asyncio.shield(asyncio.wait([running]))

    async def _report_until_done(self, attempt: Attempt, running: asyncio.Future[str]) -> None:
        while not running.done():
            await asyncio.wait([running], timeout=_REPORT_PERIOD_S)
            if not await self._manager.call(TaskManagerActor.report, attempt.report()):
                await self._stop(attempt, running)

    async def _stop(self, attempt: Attempt, running: asyncio.Future[str]) -> None:
        attempt.stop()
        self._stop_requested_at = time.monotonic()
        await asyncio.wait([running])
        self._stop_requested_at = None

    async def _conclude(self, task: Task, attempt: Attempt, running: asyncio.Future[str]) -> None:
        """Tell the manager how the attempt ended."""
        try:
            video = running.result()
        except Cancelled:
            logger.info("task %s: attempt %d stopped", task.id, task.attempt)
        except InputError as error:
            await self._manager.call(TaskManagerActor.reject, task.id, task.attempt, error.notice)
        except Exception as error:
            full = isinstance(error, DiskFull) or is_disk_full(error)
            reason = await self._reason(task, error)
            await self._manager.call(TaskManagerActor.lose, task.id, task.attempt, reason, disk_full=full)
        else:
            report = attempt.report()
            if not await self._manager.call(TaskManagerActor.complete, report, video):
                self._storage.remove_video(task.id, video)

    async def _reason(self, task: Task, error: Exception) -> Notice:
        """Why an attempt failed, if its input is not known to be the cause."""
        if isinstance(error, ExplainedError):
            return error.notice
        logger.error("task %s: attempt %d failed", task.id, task.attempt, exc_info=error)
        # A lost device counts as a failure of the task as well: the task may have caused it, and would
        # otherwise take down one replica after another.
        if not await self._device_responds():
            return Notice.of("device_lost", device=self._engine.device)
        return Notice.of("unexpected_error")

    async def _device_responds(self) -> bool:
        """Whether the device works; once lost it stays lost, as CUDA does after an illegal memory access."""
        if not self._device_lost:
            try:
                await asyncio.wait_for(asyncio.to_thread(self._engine.check_device), _DEVICE_TIMEOUT_S)
            except Exception:
                logger.exception("%s stopped responding", self._engine.device)
                self._device_lost = True
        return not self._device_lost
