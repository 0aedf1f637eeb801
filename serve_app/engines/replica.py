"""The deployments that make videos: a replica claims a task, runs its engine, reports, publishes."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from models.engine import Engine
from models.errors import Cancelled, DiskFull, GenerationError, InputError
from serve_app.cluster.replica_ports import keep_on_loopback
from serve_app.engines.attempt import Attempt
from serve_app.settings import Settings
from serve_app.storage.local import LocalStorage, is_disk_full
from serve_app.task import Task
from serve_app.tasks.actor import TaskManagerActor
from serve_app.tasks.manager_client import ManagerClient

_REPORT_PERIOD_S = 0.5

# An engine obeys a stop within one window; a thread that takes longer hangs.
_STOP_TIMEOUT_S = 120.0

# A device that computes answers in milliseconds, also beside a video.
_TOUCH_TIMEOUT_S = 10.0

# Serve needs three failed checks, half a minute, to replace a replica; tickets must not rush through it.
_TICKET_PAUSE_S = 5.0

logger = logging.getLogger("ray.serve")


class EngineReplica:
    """Works on one task at a time.

    Args:
        engine: what generates the frames.
        settings: the builder's arguments.
    """

    def __init__(self, engine: Engine, settings: Settings):
        keep_on_loopback()
        self._engine = engine
        self._storage = LocalStorage(settings.data_dir)
        # A video in the making outlasts any absence of the manager.
        self._manager = ManagerClient(settings, timeout_s=None)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=engine.name)
        self._stopped_at: float | None = None
        self._device_lost = False

    async def work(self, ticket_id: str) -> None:
        """Claim the best task for this ticket, if one is left, and see it through."""
        if self._device_lost:
            await asyncio.sleep(_TICKET_PAUSE_S)
            return
        task = await self._manager.call(TaskManagerActor.claim, ticket_id, self._engine.name)
        if task is not None:
            await self._make_video(task)

    async def check_health(self) -> None:
        """Called by Serve, which replaces a replica that raises here."""
        if self._stopped_at is not None and time.monotonic() - self._stopped_at > _STOP_TIMEOUT_S:
            raise RuntimeError(f"the engine did not obey a stop for {_STOP_TIMEOUT_S:g} s")
        if not await self._device_computes():
            raise RuntimeError(f"{self._engine.device} does not compute any more")

    async def _make_video(self, task: Task) -> None:
        attempt = Attempt(task, self._engine, self._storage)
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
        self._stopped_at = time.monotonic()
        await asyncio.wait([running])
        self._stopped_at = None

    async def _conclude(self, task: Task, attempt: Attempt, running: asyncio.Future[str]) -> None:
        """Tell the manager how the attempt ended."""
        try:
            video = running.result()
        except Cancelled:
            logger.info("task %s: attempt %d stopped", task.id, task.attempt)
        except InputError as error:
            await self._manager.call(TaskManagerActor.reject, task.id, task.attempt, describe(error))
        except Exception as error:
            full = isinstance(error, DiskFull) or is_disk_full(error)
            reason = await self._reason(task, error)
            await self._manager.call(TaskManagerActor.lose, task.id, task.attempt, reason, disk_full=full)
        else:
            report = attempt.report()
            if not await self._manager.call(TaskManagerActor.complete, report, video):
                self._storage.remove_video(task.id, video)

    async def _reason(self, task: Task, error: Exception) -> str:
        """Why an attempt failed by no fault of its input that we know of."""
        if isinstance(error, GenerationError):
            return str(error)
        logger.error("task %s: attempt %d failed", task.id, task.attempt, exc_info=error)
        # It counts as a failure as well: the task may be what broke it, and would break one after the other.
        if not await self._device_computes():
            return f"{self._engine.device} does not compute any more"
        return "an unexpected error, see the log of the engine's replica"

    async def _device_computes(self) -> bool:
        """Once it does not, it never will: after an error such as an illegal access, CUDA is of no use."""
        if not self._device_lost:
            try:
                await asyncio.wait_for(asyncio.to_thread(self._engine.check_device), _TOUCH_TIMEOUT_S)
            except Exception:
                logger.exception("%s does not compute any more", self._engine.device)
                self._device_lost = True
        return not self._device_lost


def describe(error: InputError) -> str:
    """An input error as the one text that a task has for it."""
    told = error.allowed is None or error.allowed in error.message
    allowed = "" if told else f" (allowed: {error.allowed})"
    return f"{error.field}: {error.message}{allowed}"


class Preview(EngineReplica):
    """The CPU engine: no weights, no GPU."""

    def __init__(self, settings: Settings):
        # Imported here: only these replicas need MediaPipe and OpenCV.
        from models.preview.engine import PreviewEngine

        super().__init__(PreviewEngine(), settings)


class EchoMimic(EngineReplica):
    """The diffusion engine, on one GPU unless its settings reserve none."""

    def __init__(self, settings: Settings):
        # Imported here: only these replicas need torch.
        from models.echomimic.engine import EchoMimicEngine
        from models.echomimic.networks.config import PRESETS

        chosen = settings.echomimic
        engine, warnings = EchoMimicEngine.load(
            chosen.weights_dir,
            "cuda:0" if chosen.num_gpus else "cpu",
            variant=chosen.variant,
            precision=chosen.precision,
            architecture=PRESETS[chosen.preset],
            compiled=chosen.compiled,
            low_memory=chosen.low_memory,
        )
        for warning in warnings:
            logger.warning(warning)
        super().__init__(engine, settings)
