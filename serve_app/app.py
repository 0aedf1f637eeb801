"""The application builder that serve_config.yaml names, with the options of every deployment."""

from typing import Any

from ray import serve

from serve_app.access.exposure import check_exposure
from serve_app.api.ingress import Ingress
from serve_app.cluster.health import listening_host
from serve_app.engines.choice import choose
from serve_app.engines.replica import EchoMimic, EngineReplica, Preview
from serve_app.settings import DEPLOYMENTS, EngineName, EngineSettings, Settings

REPLICAS: dict[EngineName, type[EngineReplica]] = {"echomimic": EchoMimic, "preview": Preview}

# A replica that is to go finishes its task first; when the whole application ends, the manager has
# it hand its work back.
_GRACEFUL_SHUTDOWN_TIMEOUT_S = 1800

# The engines end after the ingress, and all of it within the launcher's patience. Almost every request is
# answered by then; with Serve's own 20 s an upload that takes long to decode would hold up the end.
_INGRESS_SHUTDOWN_TIMEOUT_S = 3

# How often a replica that is to go looks whether its requests have ended; Serve's own 2 s, once for
# the ingress and once for the engines, would be most of the time it takes to end the service.
_GRACEFUL_SHUTDOWN_WAIT_LOOP_S = 0.2


def build(settings: Settings) -> serve.Application:
    """Bind the ingress and the engines of these settings.

    Raises:
        pydantic.ValidationError: raised by Serve before it calls this, for an argument that is unknown
            or out of range; it names the argument.
        ConfigError: others could reach the service without a key.
    """
    if host := listening_host():
        check_exposure(settings, host)
    choice = choose(settings)
    engines = [_engine(name, settings) for name in choice.deployed]
    application: serve.Application = serve.deployment(**_ingress_options(settings))(Ingress).bind(
        settings, choice, *engines
    )
    return application


def _engine(name: EngineName, settings: Settings) -> serve.Application:
    deployment = serve.deployment(name=DEPLOYMENTS[name], **_engine_options(settings.of(name)))
    application: serve.Application = deployment(REPLICAS[name]).bind(settings)
    return application


def _ingress_options(settings: Settings) -> dict[str, Any]:
    return {
        "num_replicas": settings.ingress_replicas,
        "max_ongoing_requests": 200,
        "graceful_shutdown_timeout_s": _INGRESS_SHUTDOWN_TIMEOUT_S,
        "graceful_shutdown_wait_loop_s": _GRACEFUL_SHUTDOWN_WAIT_LOOP_S,
        # A replica takes a whole CPU by default, and nothing else would fit on a small machine.
        "ray_actor_options": {"num_cpus": 0.1},
    }


def _engine_options(engine: EngineSettings) -> dict[str, Any]:
    """Replicas follow the number of tasks that wait or run."""
    return {
        # With two, a second ticket sits on a busy replica while a new one idles.
        "max_ongoing_requests": 1,
        "graceful_shutdown_timeout_s": _GRACEFUL_SHUTDOWN_TIMEOUT_S,
        "graceful_shutdown_wait_loop_s": _GRACEFUL_SHUTDOWN_WAIT_LOOP_S,
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
