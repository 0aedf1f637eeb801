"""The deployment that speaks REST; stateless, any number of replicas."""

import asyncio

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from serve_app.access.exposure import check_exposure
from serve_app.api.application import create_api
from serve_app.cluster.health import listening_host
from serve_app.cluster.replica_ports import keep_on_loopback
from serve_app.engines.choice import EngineChoice
from serve_app.engines.registry import deployments
from serve_app.settings import Settings
from serve_app.tasks.manager_client import ManagerClient

# A manager that restarts answers after two or three seconds.
_MANAGER_TIMEOUT_S = 30.0


@serve.ingress()
class Ingress:
    """Serves the API, once the task manager runs this release with these settings.

    Args:
        settings: the builder's arguments.
        choice: which engines are deployed, and why one is not.
        engines: the engine deployments; Serve deploys what an ingress depends on. Work reaches them
            through the task manager alone.

    Raises:
        ConfigError: others could reach the service without a key.
    """

    async def __init__(self, settings: Settings, choice: EngineChoice, *engines: DeploymentHandle):  # type: ignore[misc]  # Serve awaits it
        keep_on_loopback()
        # The builder has looked already, unless it ran before Serve did.
        if host := await asyncio.to_thread(listening_host):
            check_exposure(settings, host)
        self._settings = settings
        self._choice = choice
        self._manager = ManagerClient(settings, deployments(), _MANAGER_TIMEOUT_S)
        await self._manager.ensure()

    async def check_health(self) -> None:
        """Called by Serve every few seconds; a manager that could not start gets another go.

        Accepted tasks wait for it also while no client asks for anything.
        """
        await self._manager.start()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_api(self._settings, self._choice, self._manager)
