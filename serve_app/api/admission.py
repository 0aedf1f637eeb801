"""A route that decides about a request before it reads its body."""

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from serve_app.errors import StorageFull
from serve_app.storage.local import is_disk_full


def admitted_by(admit: Callable[[Request], AbstractAsyncContextManager[None]]) -> type[APIRoute]:
    """A kind of route that enters `admit`, which may raise, and only then reads the form.

    A form whose files find no room in the system's folder for temporary files is StorageFull.
    """

    class AdmittedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def admit_and_handle(request: Request) -> Response:
                async with admit(request):
                    try:
                        return await handle(request)
                    except HTTPException as error:
                        # FastAPI answers 400 to whatever goes wrong while it reads a form.
                        if is_disk_full(error.__cause__):
                            raise StorageFull from error
                        raise

            return admit_and_handle

    return AdmittedRoute
