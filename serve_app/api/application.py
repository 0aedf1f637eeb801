"""The ASGI application: its routes with their options, its middleware, its error handlers."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi_offline import FastAPIOffline

from serve_app.access.api_keys import ApiKeys
from serve_app.access.signed_urls import UrlSigner
from serve_app.api.admission import admitted_by
from serve_app.api.error_responses import install_error_handlers
from serve_app.api.middleware.access import AccessMiddleware, describe_access
from serve_app.api.middleware.body_limit import BodyLimitMiddleware
from serve_app.api.middleware.cross_origin import CrossOriginMiddleware
from serve_app.api.middleware.error_shape import ErrorShapeMiddleware
from serve_app.api.middleware.host import HostMiddleware
from serve_app.api.middleware.security_headers import SecurityHeadersMiddleware
from serve_app.api.pages import add_pages
from serve_app.api.routes import Routes
from serve_app.engines.choice import EngineChoice
from serve_app.errors import BodyTooLarge, HostNotAllowed
from serve_app.schemas import ErrorResponse, TaskResponse
from serve_app.settings import Settings
from serve_app.tasks.manager_client import ManagerClient

OPEN_ROUTES = frozenset({"generate_video", "task", "download"})


def create_api(settings: Settings, choice: EngineChoice, manager: ManagerClient) -> FastAPI:
    """The ASGI application, with its middleware and error handlers."""
    app = FastAPIOffline(
        title="echomimic-serve",
        description="A portrait photo and a speech clip go in; a video of that person speaking comes out.",
        docs_url=None,
        redoc_url=None,
    )
    keys = ApiKeys(settings.api_keys) if settings.api_keys else None
    # The last one added is the first one a request meets.
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_upload_bytes)
    if keys:
        signer = UrlSigner(settings.url_secret_file, keys, settings.signed_url_lifetime_s)
        app.add_middleware(AccessMiddleware, keys=keys, signer=signer)
    app.add_middleware(ErrorShapeMiddleware)
    app.add_middleware(CrossOriginMiddleware, open_routes=OPEN_ROUTES, origins=settings.cors_origins)
    # Before preflights are answered, which go no further.
    app.add_middleware(HostMiddleware, allowed_hosts=settings.allowed_hosts)
    app.add_middleware(SecurityHeadersMiddleware)
    install_error_handlers(app)
    routes = Routes(settings, choice, manager, keys)
    app.router.add_api_route(
        "/generate_video",
        routes.generate_video,
        methods=["POST"],
        responses=_errors(422, 429, 503, 507),
        route_class_override=admitted_by(routes.admit),
    )
    app.get("/tasks", responses=_errors(422, 503))(routes.tasks)
    app.get("/task/{task_id}", responses=_errors(404, 503))(routes.task)
    removed: Any = {204: {"description": "The task was finished, and is removed."}}
    app.delete("/task/{task_id}", response_model=TaskResponse, responses=removed | _errors(404, 503, 507))(
        routes.delete
    )
    app.post("/task/{task_id}/cancel", responses=_errors(404, 409, 503, 507))(routes.cancel)
    download: Any = {"response_class": FileResponse, "responses": _errors(404, 409, 410, 416, 503)}
    app.get("/download/{task_id}", **download)(routes.download)
    app.head("/download/{task_id}", include_in_schema=False, **download)(routes.download)
    app.get("/health", responses=_errors())(routes.health)
    add_pages(app)
    if keys:
        describe_access(app)
    return app


def _errors(*status_codes: int) -> dict[int | str, dict[str, Any]]:
    """For the API documentation; with what stands before every route."""
    before = (HostNotAllowed.status_code, BodyTooLarge.status_code)
    return {code: {"model": ErrorResponse} for code in (*before, *status_codes)}
