"""The engines of the service, best first: a new one needs an entry here and a folder in `models`.

Knows nothing of Ray. The libraries that an engine computes with are imported only when a replica loads it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from models.echomimic.weights.layout import missing
from models.echomimic.weights.variants import DEFAULTS
from models.params import GenerationParams
from serve_app.errors import ConfigError
from serve_app.settings import Settings

if TYPE_CHECKING:
    from models.engine import Engine

AUTO = "auto"  # instead of a name: the best engine that is deployed

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class RegisteredEngine:
    """What the service knows of an engine; its settings are `Settings.of(name)`.

    Attributes:
        name: by which settings, requests and tasks refer to it.
        deployment: name of its Serve deployment.
        load: makes the engine, in the process of a replica.
        default_params: the values for what a request leaves out.
        obstacle: why the engine cannot run on this machine; None if it can. Clients can read it, so it must
            not contain a path. It need not look at GPUs: `choice` counts them for every engine.
        always_deployed: whether it is deployed whatever the setting `engine` says; such an engine needs
            nothing, so it has no obstacle.
    """

    name: str
    deployment: str
    load: "Callable[[Settings], Engine]"
    default_params: Callable[[Settings], GenerationParams] = lambda _settings: GenerationParams()
    obstacle: Callable[[Settings], str | None] = lambda _settings: None
    always_deployed: bool = False


def _load_echomimic(settings: Settings) -> "Engine":
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
    return engine


def _load_preview(_settings: Settings) -> "Engine":
    from models.preview.engine import PreviewEngine

    return PreviewEngine()


def _echomimic_obstacle(settings: Settings) -> str | None:
    chosen = settings.echomimic
    if absent := missing(chosen.weights_dir, chosen.variant):
        names = ", ".join(absent)
        command = "make weights" if chosen.variant == "acc" else f"make weights VARIANT={chosen.variant}"
        return f"weights are missing in weights_dir ({names}); '{command}' downloads them"
    for library in ("torch", "mtcnn"):
        if find_spec(library) is None:
            return f"{library} is not installed; 'make weights' installs what EchoMimic needs"
    return None


# By name, best first.
ENGINES: Mapping[str, RegisteredEngine] = {
    engine.name: engine
    for engine in (
        RegisteredEngine(
            name="echomimic",
            deployment="EchoMimic",
            load=_load_echomimic,
            default_params=lambda settings: DEFAULTS[settings.echomimic.variant],
            obstacle=_echomimic_obstacle,
        ),
        RegisteredEngine(
            name="preview",
            deployment="Preview",
            load=_load_preview,
            always_deployed=True,
        ),
    )
}


def deployments() -> dict[str, str]:
    """The Serve deployment of each engine, by the engine's name."""
    return {engine.name: engine.deployment for engine in ENGINES.values()}


def engine_choices() -> tuple[str, ...]:
    """The names that settings and requests may use: `AUTO`, and those of the engines."""
    return (AUTO, *ENGINES)


def check_engine(settings: Settings) -> None:
    """Check that the setting `engine` names a registered engine, or `AUTO`.

    Raises:
        ConfigError: it does not.
    """
    if settings.engine not in engine_choices():
        allowed = ", ".join(repr(name) for name in engine_choices())
        raise ConfigError(f"the setting 'engine' is {settings.engine!r}; allowed are {allowed}")
