"""The ASGI application: its middleware in order, its error handlers, its routes."""

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from serve_app.access.api_keys import ApiKeys
from serve_app.access.signed_urls import UrlSigner
from serve_app.api import pages, routes
from serve_app.api.error_responses import install_error_handlers
from serve_app.api.form import describe_requirements
from serve_app.api.middleware.access import AccessMiddleware, describe_access
from serve_app.api.middleware.body_limit import BodyLimitMiddleware
from serve_app.api.middleware.cross_origin import CrossOriginMiddleware
from serve_app.api.middleware.error_shape import ErrorShapeMiddleware
from serve_app.api.middleware.host import HostMiddleware
from serve_app.api.middleware.security_headers import SecurityHeadersMiddleware
from serve_app.api.middleware.trailing_slash import TrailingSlashMiddleware
from serve_app.api.service import Service
from serve_app.api.submission import Submissions
from serve_app.engines.choice import EngineChoice
from serve_app.settings import Settings
from serve_app.storage.local import LocalStorage
from serve_app.tasks.manager_client import ManagerClient

OPEN_ROUTES = frozenset({"generate_video", "task", "download"})


def create_api(settings: Settings, choice: EngineChoice, manager: ManagerClient) -> FastAPI:
    """The ASGI application, with its middleware and error handlers."""
    app = FastAPIOffline(
        title="echomimic-serve",
        description="A portrait photo and a speech clip go in; a video of that person speaking comes out.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    keys = ApiKeys(settings.api_keys) if settings.api_keys else None
    # A request meets the last one added first.
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_upload_bytes)
    if keys:
        signer = UrlSigner(settings.url_secret_file, keys, settings.signed_url_lifetime_s)
        app.add_middleware(AccessMiddleware, keys=keys, signer=signer)
    app.add_middleware(ErrorShapeMiddleware)
    app.add_middleware(CrossOriginMiddleware, open_routes=OPEN_ROUTES, origins=settings.cors_origins)
    # Ahead of CORS, which answers preflights itself.
    app.add_middleware(HostMiddleware, allowed_hosts=settings.allowed_hosts)
    app.add_middleware(SecurityHeadersMiddleware)
    # First, because keys, signatures and CORS depend on the path.
    app.add_middleware(TrailingSlashMiddleware)
    install_error_handlers(app)
    storage = LocalStorage(settings.data_dir)
    submissions = Submissions(settings, choice, manager, storage)
    app.state.service = Service(choice, manager, storage, submissions, keys)
    for router in (routes.uploads, routes.router, pages.router):
        app.include_router(router)
    describe_requirements(app.openapi(), settings.labels, consent=settings.require_consent)
    if keys:
        describe_access(app)
    return app
