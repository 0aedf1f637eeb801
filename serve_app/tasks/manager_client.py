"""Calls the task manager from other processes; starts it, and replaces one that runs older code."""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from ray.exceptions import RayActorError, RayTaskError

from serve_app.cluster.placement import ON_HEAD_NODE
from serve_app.cluster.portable import portable
from serve_app.errors import ApiError, JournalUnavailable, ManagerUnavailable, StorageFull
from serve_app.settings import Settings
from serve_app.tasks.actor import TaskManagerActor
from serve_app.tasks.code_version import CODE_VERSION

NAMESPACE = "echomimic"
ACTOR_NAME = "task_manager"

# With it, Serve counts running work at the replicas, including work whose ticket died with a manager.
AUTOSCALING_ENVIRONMENT = {"RAY_SERVE_COLLECT_AUTOSCALING_METRICS_ON_HANDLE": "0"}

_CALL_PAUSE_S = 0.5
# Every start creates a process.
_START_PAUSE_S = 3.0

_JOURNAL_ERRORS = (StorageFull, JournalUnavailable)

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("ray.serve")


class ManagerClient:
    """Calls the manager; rides out its restarts and its replacement by newer code.

    Ray does not restart an actor that could not start, for example because its database was unavailable: the
    next call starts such a manager again.

    Args:
        settings: the builder's arguments, with which the manager is started if it does not run.
        deployments: the deployment of each engine, by the engine's name; for the start as well.
        timeout_s: seconds after which a call is given up; None waits without limit.
    """

    def __init__(self, settings: Settings, deployments: Mapping[str, str], timeout_s: float | None):
        self._arguments = (settings, deployments)
        self._timeout_s = timeout_s
        self._actor: Any = None

    async def start(self) -> None:
        """Start the manager unless there is one; does not wait to see whether it can start."""
        self._actor = await asyncio.to_thread(_start_manager, *self._arguments)

    async def ensure(self) -> None:
        """Start the manager, or replace one that runs older code or other settings.

        An older release never replaces a newer manager.

        Raises:
            ManagerUnavailable: it cannot start, or does not respond.
        """
        while self._outdated(*await self.call(TaskManagerActor.identity)):
            # No drain: the journal is written through and running work is adopted by the successor.
            await asyncio.to_thread(_end_manager)
            self._actor = None

    async def call(self, method: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of a method of `TaskManagerActor`, called there.

        Raises:
            ManagerUnavailable: it did not respond within `timeout_s`, or cannot start.
            ApiError: raised by the method. Without a timeout, a manager that cannot start or cannot use its
                journal is tried again until it can.
        """
        # By name: Ray may know only the names of the methods of an older manager's class.
        _, *arguments = inspect.signature(method).bind(None, *args, **kwargs).arguments.items()
        answer: Coroutine[Any, Any, R] = self._call_until_answered(method.__name__, dict(arguments))
        try:
            return await asyncio.wait_for(answer, self._timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            raise ManagerUnavailable("the task manager does not respond; retry in a minute") from None

    async def _call_until_answered(self, method: str, arguments: Mapping[str, Any]) -> Any:
        while True:
            started = self._actor is None
            if started:
                await self.start()
            try:
                return await getattr(self._actor, method).remote(**arguments)
            except RayTaskError as error:
                if not (self._patient and isinstance(error.cause, _JOURNAL_ERRORS)):
                    raise (error.cause if isinstance(error.cause, ApiError) else error) from None
                await asyncio.sleep(_CALL_PAUSE_S)
            except RayActorError as error:
                self._actor = None
                # Only if we started it ourselves do we know that no other one runs.
                await self._outlast(error, cannot_start=started and error.actor_init_failed)

    async def _outlast(self, error: RayActorError, *, cannot_start: bool) -> None:
        """Wait until another call may succeed."""
        if not cannot_start:
            await asyncio.sleep(_CALL_PAUSE_S)
            return
        logger.error("the task manager cannot start: %s", error)
        if not self._patient:
            # The cause has a stack trace, which is not for clients.
            raise ManagerUnavailable("the task manager cannot start; see the log of the service")
        await asyncio.sleep(_START_PAUSE_S)

    @property
    def _patient(self) -> bool:
        return self._timeout_s is None

    def _outdated(self, version: int, arguments: object) -> bool:
        return version < CODE_VERSION or (version == CODE_VERSION and arguments != self._arguments)


def _start_manager(settings: Settings, deployments: Mapping[str, str]) -> Any:
    return (
        ray.remote(portable(TaskManagerActor))
        .options(
            name=ACTOR_NAME,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=0,
            runtime_env={"env_vars": AUTOSCALING_ENVIRONMENT},
            # A GPU worker may go away, and the SQLite file with it.
            **ON_HEAD_NODE,
        )
        .remote(settings, deployments)
    )


def _end_manager() -> None:
    # Another ingress may have ended it at the same moment.
    with contextlib.suppress(ValueError):
        ray.kill(ray.get_actor(ACTOR_NAME, namespace=NAMESPACE), no_restart=True)
