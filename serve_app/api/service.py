"""What the routes work with: created once per application, and reached through each request."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from serve_app.access.api_keys import ApiKeys
from serve_app.api.submission import Submissions
from serve_app.engines.choice import EngineChoice
from serve_app.storage.base import Storage
from serve_app.tasks.manager_client import ManagerClient


@dataclass(frozen=True)
class Service:
    """The parts of the service that the routes use.

    Attributes:
        choice: which engines are deployed.
        manager: where tasks are kept.
        storage: where uploads and videos are kept.
        submissions: how requests become tasks.
        keys: the API keys; None while API keys are off.
    """

    choice: EngineChoice
    manager: ManagerClient
    storage: Storage
    submissions: Submissions
    keys: ApiKeys | None


def service_of(request: Request) -> Service:
    """The service behind the application that received this request."""
    service: Service = request.app.state.service
    return service


RequestService = Annotated[Service, Depends(service_of)]
