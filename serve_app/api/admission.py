"""Routes that admit or refuse a request before they read its body."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from serve_app.api.caller import caller_of
from serve_app.api.form_request import FormRequest
from serve_app.api.service import service_of
from serve_app.errors import StorageFull
from serve_app.storage.local import is_disk_full

IDEMPOTENCY_KEY = "Idempotency-Key"


class AdmittedRoute(APIRoute):
    """A route for uploads: a request is admitted by `Submissions`, and only then its form is read.

    StorageFull is raised if the system's folder for temporary files has no room for the files of the form.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI calls with each request."""
        handle = super().get_route_handler()

        async def admit_and_handle(request: Request) -> Response:
            submissions = service_of(request).submissions
            async with submissions.admit(caller_of(request), request.headers.get(IDEMPOTENCY_KEY)):
                try:
                    return await handle(FormRequest(request.scope, request.receive))
                except HTTPException as error:
                    # FastAPI turns any error that occurs while it reads a form into a 400.
                    if is_disk_full(error.__cause__):
                        raise StorageFull from error
                    raise

        return admit_and_handle
