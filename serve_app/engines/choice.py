"""Which engines an application deploys, and why one is left out."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import ray

from models.echomimic.weights.layout import missing
from serve_app.settings import DEPLOYMENTS, EchoMimicSettings, EngineName, Settings

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class EngineChoice:
    """What `engine` in the settings came to.

    Attributes:
        default: the engine of a task that asks for none.
        left_out: for each engine that is not deployed, why.
    """

    default: EngineName
    left_out: Mapping[str, str]

    @property
    def deployed(self) -> list[EngineName]:
        """The engines a task may ask for."""
        return [name for name in DEPLOYMENTS if name not in self.left_out]


def choose(settings: Settings) -> EngineChoice:
    """Decide from the settings and, with `auto`, from what this machine and its cluster have.

    The preview is always deployed: anybody may ask for a quick draft.
    """
    if settings.engine == "preview":
        return EngineChoice("preview", {"echomimic": "the setting 'engine' is 'preview'"})
    obstacle = _obstacle(settings.echomimic) if settings.engine == "auto" else None
    if obstacle is None:
        return EngineChoice("echomimic", {})
    logger.warning(
        "EchoMimic is not deployed, the preview engine makes all videos: %s (weights_dir is %s)",
        obstacle,
        settings.echomimic.weights_dir,
    )
    return EngineChoice("preview", {"echomimic": obstacle})


def _download(settings: EchoMimicSettings) -> str:
    return "make weights" if settings.variant == "acc" else f"make weights VARIANT={settings.variant}"


def _obstacle(settings: EchoMimicSettings) -> str | None:
    """What EchoMimic lacks here; None where it can run."""
    absent = missing(settings.weights_dir, settings.variant)
    if absent:
        names = ", ".join(absent)
        # Everybody may read this: no path of the machine in it.
        return f"weights are missing in weights_dir ({names}); '{_download(settings)}' downloads them"
    if find_spec("torch") is None:
        return "torch is not installed; 'make weights' installs what EchoMimic needs"
    gpus = ray.cluster_resources().get("GPU", 0) if ray.is_initialized() else 0
    if gpus < settings.num_gpus:
        return f"a replica needs {settings.num_gpus:g} GPU and the cluster has {gpus:g}"
    return None
