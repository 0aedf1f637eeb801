"""Which engines run and, where one does not, why.

Serve itself says nothing when no node can hold a replica.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray import serve
from ray.serve._private.common import ReplicaState
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, DeploymentStatusOverview

from serve_app.schemas import EngineHealth, Health
from serve_app.settings import APP_NAME, EngineSettings, Settings

# How Serve ends its warning about a replica that has been starting for half a minute, as on a busy machine.
_SLOW_START = "to initialize."


def examine(settings: Settings, deployments: Mapping[str, str]) -> Health:
    """Ask Serve and Ray for the state of the application. Blocks for a few milliseconds.

    Args:
        settings: the builder's arguments.
        deployments: the deployment of each engine, by the engine's name.
    """
    application = serve.status().applications.get(APP_NAME)
    if application is None:
        return Health()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    engines = {
        engine: diagnose(application.deployments[deployment], settings.of(engine), nodes)
        for engine, deployment in deployments.items()
        if deployment in application.deployments
    }
    return Health(ApplicationStatus(application.status).value, engines)


def listening_host() -> str | None:
    """Where Serve's HTTP proxies listen; None where no cluster is connected or Serve does not run."""
    if not ray.is_initialized():
        return None
    # In Serve's public API only the dashboard has it, which may not be running.
    client = _get_global_client(raise_if_no_controller_running=False)
    host: str | None = client.http_config.host if client else None
    return host


def diagnose(
    status: DeploymentStatusOverview, needs: EngineSettings, nodes: Sequence[Mapping[str, Any]]
) -> EngineHealth:
    """Say whether an engine takes tasks and, if not, why.

    Args:
        status: Serve's status of the deployment.
        needs: the resources that a replica needs.
        nodes: the total resources of each node that is alive, as Ray names them.
    """
    # Serve's states are also strings: it fills this table with either.
    replicas = status.replica_states.get(ReplicaState.RUNNING, 0)
    if replicas:
        return EngineHealth(replicas, ready=True)
    if not any(_fits(needs, node) for node in nodes):
        return EngineHealth(0, ready=False, reason=f"no replica can be placed: {_shortage(needs)}")
    if needs.min_replicas == 0 and not any(status.replica_states.values()):
        return EngineHealth(0, ready=True, reason="scaled to zero; the first task starts a replica")
    return EngineHealth(0, ready=False, reason=_cause(status.message) or "its first replica is starting")


def _cause(message: str) -> str:
    """Serve's message about a deployment; of a stack trace only the last line, which names the exception."""
    lines = message.strip().splitlines()
    if lines and lines[0].endswith(_SLOW_START):
        return ""
    if len(lines) < 2:
        return message
    return f"its replica failed to start: {re.sub(r'^([a-z_]+[.])+', '', lines[-1])}"


def _fits(needs: EngineSettings, node: Mapping[str, Any]) -> bool:
    return bool(node.get("CPU", 0) >= needs.num_cpus and node.get("GPU", 0) >= needs.num_gpus)


def _shortage(needs: EngineSettings) -> str:
    return f"it needs {needs.num_cpus:g} CPU and {needs.num_gpus:g} GPU, and no node of the cluster has both"
