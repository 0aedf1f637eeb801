"""The deployment that serves the REST interface: stateless, with any number of replicas."""

import asyncio

from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from serve_app.access.exposure import check_exposure
from serve_app.api.application import create_api
from serve_app.cluster.health import listening_host
from serve_app.cluster.ingress import ingress
from serve_app.cluster.replica_ports import keep_on_loopback
from serve_app.engines.choice import EngineChoice
from serve_app.engines.registry import deployments
from serve_app.settings import Settings
from serve_app.tasks.manager_client import ManagerClient

# A manager that restarts responds again after two or three seconds.
_MANAGER_TIMEOUT_S = 30.0


@ingress
class Ingress:
    """Serves the API, once the task manager runs this release with these settings.

    Args:
        settings: the builder's arguments.
        choice: which engines are deployed, and why others are not.
        engines: the engine deployments, because Serve deploys what an ingress depends on. They get work
            only from the task manager.

    Raises:
        ConfigError: other machines could reach the service without an API key.
    """

    async def __init__(self, settings: Settings, choice: EngineChoice, *engines: DeploymentHandle):  # type: ignore[misc]  # Serve awaits it
        keep_on_loopback()
        # The builder has checked it already, unless it ran before Serve was started.
        if host := await asyncio.to_thread(listening_host):
            check_exposure(settings, host)
        self._settings = settings
        self._choice = choice
        self._manager = ManagerClient(settings, deployments(), _MANAGER_TIMEOUT_S)
        await self._manager.ensure()

    async def check_health(self) -> None:
        """Called by Serve every few seconds; starts a manager that could not start before.

        Accepted tasks need it even while no client sends a request.
        """
        await self._manager.start()

    def build_app(self) -> FastAPI:
        """The application; called by Serve."""
        return create_api(self._settings, self._choice, self._manager)
