"""The REST interface: every route of the contract. Keeps no state of its own."""

import asyncio
import time
import uuid
from typing import Annotated, Any

from fastapi import FastAPI, Form
from fastapi.responses import FileResponse
from fastapi_offline import FastAPIOffline

from models.portrait import check_image
from models.speech import check_audio
from serve_app.access import AccessMiddleware, SignUrl, describe_access
from serve_app.api_keys import ApiKeys
from serve_app.engine_choice import EngineChoice
from serve_app.error_responses import install_error_handlers
from serve_app.errors import (
    InvalidRequest,
    KeysUnavailable,
    ManagerUnavailable,
    TaskNotFinished,
    TaskNotFound,
    VideoGone,
)
from serve_app.manager_actor import ManagerClient, TaskManagerActor
from serve_app.middleware import (
    BodyLimitMiddleware,
    CrossOriginMiddleware,
    ErrorShapeMiddleware,
    HostMiddleware,
)
from serve_app.pages import add_pages
from serve_app.schemas import (
    ErrorResponse,
    GenerateVideoForm,
    HealthResponse,
    RequestedEngine,
    SubmittedTask,
    TaskResponse,
)
from serve_app.security_headers import SecurityHeadersMiddleware
from serve_app.settings import EngineName, Settings
from serve_app.signed_urls import UrlSigner
from serve_app.storage import Storage
from serve_app.task import Task, TaskSnapshot, TaskStatus

OPEN_ROUTES = frozenset({"generate_video", "task", "download"})

_HEALTH_TIMEOUT_S = 3.0


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
    app.add_middleware(HostMiddleware, allowed_hosts=settings.allowed_hosts)
    app.add_middleware(ErrorShapeMiddleware)
    app.add_middleware(CrossOriginMiddleware, open_routes=OPEN_ROUTES, origins=settings.cors_origins)
    app.add_middleware(SecurityHeadersMiddleware)
    install_error_handlers(app)
    routes = Routes(settings, choice, manager, keys)
    app.post("/generate_video", responses=_errors(400, 413, 422, 503))(routes.generate_video)
    app.get("/task/{task_id}", responses=_errors(404, 503))(routes.task)
    download: Any = {"response_class": FileResponse, "responses": _errors(404, 409, 410, 503)}
    app.get("/download/{task_id}", **download)(routes.download)
    app.head("/download/{task_id}", include_in_schema=False, **download)(routes.download)
    app.get("/health")(routes.health)
    add_pages(app)
    if keys:
        describe_access(app)
    return app


class Routes:
    """What each route does.

    Args:
        settings: the builder's arguments.
        choice: which engines are deployed.
        manager: where tasks are kept.
        keys: who gets in; None where everybody does.
    """

    def __init__(
        self, settings: Settings, choice: EngineChoice, manager: ManagerClient, keys: ApiKeys | None
    ):
        self._settings = settings
        self._choice = choice
        self._manager = manager
        self._keys = keys
        self._storage = Storage(settings.data_dir)
        self._accepting: set[asyncio.Task[SubmittedTask]] = set()

    async def generate_video(
        self, form: Annotated[GenerateVideoForm, Form(media_type="multipart/form-data")]
    ) -> SubmittedTask:
        """Accept a portrait and a speech clip; the video is made in the background."""
        # A client that hangs up cancels us; its upload is then either accepted or discarded all the same.
        accepting = asyncio.create_task(self._accept(form))
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        return await asyncio.shield(accepting)

    async def task(self, task_id: str, sign_url: SignUrl) -> TaskResponse:
        """How a task stands."""
        return TaskResponse.of(await self._snapshot(task_id), sign_url)

    async def download(self, task_id: str) -> FileResponse:
        """The finished video. `HEAD` and `Range` are understood."""
        task = (await self._snapshot(task_id)).task
        if task.video is None:
            raise TaskNotFinished(_why_no_video(task), field="task_id")
        video = self._storage.video(task_id, task.video)
        if not await asyncio.to_thread(video.is_file):
            raise VideoGone(f"the video of task {task_id} is no longer kept", field="task_id")
        return FileResponse(video, media_type="video/mp4", filename=f"echomimic_{task_id}.mp4")

    async def health(self) -> HealthResponse:
        """Whether the service is ready for tasks and, if not, why."""
        if self._keys and not self._keys.readable:
            return HealthResponse.unready(self._choice, KeysUnavailable().message)
        try:
            calls = (
                self._manager.call(TaskManagerActor.health),
                self._manager.call(TaskManagerActor.counts),
            )
            health, counts = await asyncio.wait_for(asyncio.gather(*calls), _HEALTH_TIMEOUT_S)
        except (ManagerUnavailable, TimeoutError, asyncio.TimeoutError):
            return HealthResponse.unready(self._choice, "the task manager does not answer")
        return HealthResponse.of(self._choice, health, counts)

    async def _accept(self, form: GenerateVideoForm) -> SubmittedTask:
        new = self._new_task(form)
        try:
            await asyncio.to_thread(self._receive, new.id, form)
            task = await self._manager.call(TaskManagerActor.submit, new)
        except Exception:
            await asyncio.to_thread(self._storage.discard_uploads, new.id)
            raise
        return SubmittedTask(task_id=task.id, status=task.status)

    def _new_task(self, form: GenerateVideoForm) -> Task:
        engine = self._engine(form.engine)
        return Task(
            id=str(uuid.uuid4()),
            engine=engine,
            params=form.params(self._settings.default_params(engine)),
            requested_device=form.device,
            created_at=time.time(),
            warnings=tuple(f"unknown field {name!r} was ignored" for name in form.ignored_fields()),
        )

    def _engine(self, asked: RequestedEngine) -> EngineName:
        if asked == "auto":
            return self._choice.default
        if asked in self._choice.left_out:
            message = f"engine: {asked!r} is not deployed: {self._choice.left_out[asked]}"
            raise InvalidRequest(message, field="engine", allowed=", ".join(self._choice.deployed))
        return asked

    def _receive(self, task_id: str, form: GenerateVideoForm) -> None:
        """Store both uploads and look whether they can be what they should be."""
        image, audio = self._storage.reference_image(task_id), self._storage.audio_file(task_id)
        self._storage.save_upload(form.reference_image.file, image)
        check_image(image)
        self._storage.save_upload(form.audio_file.file, audio)
        check_audio(audio)

    async def _snapshot(self, task_id: str) -> TaskSnapshot:
        snapshot = await self._manager.call(TaskManagerActor.snapshot, task_id)
        if snapshot is None:
            raise TaskNotFound(task_id)
        return snapshot


def _why_no_video(task: Task) -> str:
    if task.status is TaskStatus.FAILED:
        return f"task {task.id} is failed: {task.error}"
    return f"task {task.id} is {task.status.value}; its video can be downloaded once it is completed"


def _errors(*status_codes: int) -> dict[int | str, dict[str, Any]]:
    """For the API documentation."""
    return {code: {"model": ErrorResponse} for code in status_codes}
