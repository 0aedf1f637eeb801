"""Which engines an application deploys, and why it leaves others out."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import ray

from serve_app.engines.registry import AUTO, ENGINES, RegisteredEngine, check_engine
from serve_app.settings import Settings

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class EngineChoice:
    """What the setting `engine` resolved to.

    Attributes:
        default: the engine of a task that asks for none.
        left_out: for each engine that is not deployed, why.
    """

    default: str
    left_out: Mapping[str, str]

    @property
    def deployed(self) -> list[str]:
        """The engines a task may ask for, best first."""
        return [name for name in ENGINES if name not in self.left_out]


def choose(settings: Settings) -> EngineChoice:
    """Decide from the settings and, with `auto`, from what this machine and its cluster have.

    An engine that the settings name is deployed unchecked: its GPU nodes may not be there yet.

    Raises:
        ConfigError: the setting `engine` names no registered engine.
    """
    check_engine(settings)
    reasons = {engine.name: _why_left_out(engine, settings) for engine in ENGINES.values()}
    left_out = {name: reason for name, reason in reasons.items() if reason is not None}
    if settings.engine != AUTO:
        return EngineChoice(settings.engine, left_out)
    best = next(name for name in ENGINES if name not in left_out)
    for name, reason in left_out.items():
        logger.warning(
            "%s is not deployed: %s. Requests that name no engine use %r. The settings of %s: %s",
            *(ENGINES[name].deployment, reason, best, name, settings.of(name)),
        )
    return EngineChoice(best, left_out)


def _why_left_out(engine: RegisteredEngine, settings: Settings) -> str | None:
    if engine.always_deployed or engine.name == settings.engine:
        return None
    if settings.engine != AUTO:
        return f"the setting 'engine' is {settings.engine!r}"
    return engine.obstacle(settings) or _gpu_shortage(settings.of(engine.name).num_gpus)


def _gpu_shortage(needed: float) -> str | None:
    gpus = ray.cluster_resources().get("GPU", 0) if ray.is_initialized() else 0
    return f"a replica needs {needed:g} GPU and the cluster has {gpus:g}" if gpus < needed else None
