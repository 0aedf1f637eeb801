"""The application builder that serve_config.yaml names, with the options of every deployment."""

from typing import Any

from ray import serve

from serve_app.access.exposure import check_exposure
from serve_app.api.ingress import Ingress
from serve_app.cluster.health import listening_host
from serve_app.engines.choice import choose
from serve_app.engines.registry import ENGINES, RegisteredEngine
from serve_app.engines.replica import EngineReplica
from serve_app.settings import EngineSettings, Settings

# A replica that is scaled down or redeployed finishes its task first. When the whole application ends, the
# manager has it hand its task back.
_ENGINE_SHUTDOWN_TIMEOUT_S = 1800

# The engines end after the ingress, and both within the 10 s that the launcher promises. Nearly every request
# is answered by then; with Serve's default of 20 s, an upload that is slow to decode would delay the end.
_INGRESS_SHUTDOWN_TIMEOUT_S = 3

# How often a replica that ends checks whether its requests are done. Serve's default of 2 s, once for the
# ingress and once for the engines, would be most of the time that the service takes to end.
_SHUTDOWN_POLL_PERIOD_S = 0.2


def build(settings: Settings) -> serve.Application:
    """Bind the ingress and the engines of these settings.

    Raises:
        pydantic.ValidationError: raised by Serve before it calls this, for an argument that is unknown
            or out of range; it names the argument.
        ConfigError: `engine` names no engine, or other machines could use the service without a key.
    """
    if host := listening_host():
        check_exposure(settings, host)
    choice = choose(settings)
    engines = [_engine(ENGINES[name], settings) for name in choice.deployed]
    application: serve.Application = serve.deployment(**_ingress_options(settings))(Ingress).bind(
        settings, choice, *engines
    )
    return application


def _engine(engine: RegisteredEngine, settings: Settings) -> serve.Application:
    deployment = serve.deployment(name=engine.deployment, **_engine_options(settings.of(engine.name)))
    application: serve.Application = deployment(EngineReplica).bind(engine.name, settings)
    return application


def _ingress_options(settings: Settings) -> dict[str, Any]:
    return {
        "num_replicas": settings.ingress_replicas,
        "max_ongoing_requests": 200,
        "graceful_shutdown_timeout_s": _INGRESS_SHUTDOWN_TIMEOUT_S,
        "graceful_shutdown_wait_loop_s": _SHUTDOWN_POLL_PERIOD_S,
        # A replica takes a whole CPU by default, and nothing else would fit on a small machine.
        "ray_actor_options": {"num_cpus": 0.1},
    }


def _engine_options(engine: EngineSettings) -> dict[str, Any]:
    """Replicas follow the number of tasks that wait or run."""
    return {
        # With two, a second ticket sits on a busy replica while a new one idles.
        "max_ongoing_requests": 1,
        "graceful_shutdown_timeout_s": _ENGINE_SHUTDOWN_TIMEOUT_S,
        "graceful_shutdown_wait_loop_s": _SHUTDOWN_POLL_PERIOD_S,
        "ray_actor_options": {"num_cpus": engine.num_cpus, "num_gpus": engine.num_gpus},
        "autoscaling_config": {
            "min_replicas": engine.min_replicas,
            "max_replicas": engine.max_replicas,
            "target_ongoing_requests": 1,
            # Serve's defaults let a task wait 30 s before a second replica is asked for.
            "upscale_delay_s": 0,
            "downscale_delay_s": engine.downscale_delay_s,
            "metrics_interval_s": 0.5,
            "look_back_period_s": 2,
            "aggregation_function": "max",
        },
    }
