"""Handles to deployments that may not be up yet."""

from ray import serve
from ray.serve.handle import DeploymentHandle


def waiting_handle(deployment: str, application: str) -> DeploymentHandle:
    """A handle whose calls queue until the deployment is up.

    They also survive a redeployment and zero replicas. Serve's public parameters refuse a deployment that
    does not exist yet.
    """
    return serve.get_deployment_handle(deployment, application, _check_exists=False)
