"""The way to the task manager from other processes, which also starts it and replaces it by newer code."""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from ray.exceptions import RayActorError, RayTaskError

from serve_app.cluster.portable import portable
from serve_app.errors import ApiError, JournalUnavailable, ManagerUnavailable, StorageFull
from serve_app.settings import Settings
from serve_app.tasks.actor import TaskManagerActor
from serve_app.tasks.code_version import CODE_VERSION

NAMESPACE = "echomimic"
ACTOR_NAME = "task_manager"

# Serve counts running work at the replicas then, also work whose ticket died with a manager.
AUTOSCALING_ENVIRONMENT = {"RAY_SERVE_COLLECT_AUTOSCALING_METRICS_ON_HANDLE": "0"}

_CALL_PAUSE_S = 0.5
# Every start takes a process of its own.
_START_PAUSE_S = 3.0

_JOURNAL_ERRORS = (StorageFull, JournalUnavailable)

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("ray.serve")


class ManagerClient:
    """Calls the manager; rides out its restarts and its replacement by newer code.

    Ray does not restart an actor that could not start, as when its database is away: a manager that
    ended so is started anew by the next call.

    Args:
        settings: what a manager that does not run yet is started with.
        deployments: the same, the deployment of each engine by the engine's name.
        timeout_s: seconds after which a call is given up; None waits for as long as it takes.
    """

    def __init__(self, settings: Settings, deployments: Mapping[str, str], timeout_s: float | None):
        self._arguments = (settings, deployments)
        self._timeout_s = timeout_s
        self._actor: Any = None

    async def start(self) -> None:
        """Start the manager unless there is one; whether it can start is not waited for."""
        self._actor = await asyncio.to_thread(_start_manager, *self._arguments)

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
        # By name: of the class of an older manager Ray may know no more than the names of its methods.
        _, *arguments = inspect.signature(method).bind(None, *args, **kwargs).arguments.items()
        answer: Coroutine[Any, Any, R] = self._call_until_answered(method.__name__, dict(arguments))
        try:
            return await asyncio.wait_for(answer, self._timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            raise ManagerUnavailable("the task manager does not answer; try again in a minute") from None

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
            # On the head node: a GPU worker may go away, and the SQLite file with it.
            resources={"node:__internal_head__": 0.001},
            runtime_env={"env_vars": AUTOSCALING_ENVIRONMENT},
        )
        .remote(settings, deployments)
    )


def _end_manager() -> None:
    # Another ingress may have ended it in this moment.
    with contextlib.suppress(ValueError):
        ray.kill(ray.get_actor(ACTOR_NAME, namespace=NAMESPACE), no_restart=True)
