"""The REST interface: every route of the contract. Keeps no state of its own."""

import asyncio
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Form
from fastapi.responses import FileResponse, HTMLResponse
from fastapi_offline import FastAPIOffline

from models.image import check_image
from models.speech import check_audio
from serve_app.error_responses import install_error_handlers
from serve_app.errors import ManagerUnavailable, TaskNotFinished, TaskNotFound, VideoGone
from serve_app.manager_actor import ManagerClient, TaskManagerActor
from serve_app.middleware import (
    BodyLimitMiddleware,
    CrossOriginMiddleware,
    ErrorShapeMiddleware,
    HostMiddleware,
)
from serve_app.schemas import ErrorResponse, GenerateVideoForm, HealthResponse, SubmittedTask, TaskResponse
from serve_app.settings import Settings
from serve_app.storage import Storage
from serve_app.task import Task, TaskSnapshot, TaskStatus

OPEN_ROUTES = frozenset({"generate_video", "task", "download"})

_LANDING_PAGE = Path(__file__).with_name("landing.html")
_HEALTH_TIMEOUT_S = 3.0

# Uploads that a replica decodes at once: each may take the memory and time that `models` allow it.
_CHECKED_AT_ONCE = 2


def create_api(settings: Settings, manager: ManagerClient) -> FastAPI:
    """The ASGI application, with its middleware and error handlers."""
    app = FastAPIOffline(
        title="echomimic-serve",
        description="A portrait photo and a speech clip go in; a video of that person speaking comes out.",
        redoc_url=None,
    )
    # The last one added is the first one a request meets.
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_upload_bytes)
    app.add_middleware(HostMiddleware, allowed_hosts=settings.allowed_hosts)
    app.add_middleware(ErrorShapeMiddleware)
    app.add_middleware(CrossOriginMiddleware, open_routes=OPEN_ROUTES, origins=settings.cors_origins)
    install_error_handlers(app)
    routes = Routes(manager, Storage(settings.data_dir))
    app.post("/generate_video", responses=_errors(400, 413, 422, 503))(routes.generate_video)
    app.get("/task/{task_id}", responses=_errors(404, 503))(routes.task)
    download: Any = {"response_class": FileResponse, "responses": _errors(404, 409, 410, 503)}
    app.get("/download/{task_id}", **download)(routes.download)
    app.head("/download/{task_id}", include_in_schema=False, **download)(routes.download)
    app.get("/health")(routes.health)
    app.get("/", include_in_schema=False)(routes.landing_page)
    return app


class Routes:
    """What each route does.

    Args:
        manager: where tasks are kept.
        storage: where uploads and videos lie.
    """

    def __init__(self, manager: ManagerClient, storage: Storage):
        self._manager = manager
        self._storage = storage
        self._accepting: set[asyncio.Task[SubmittedTask]] = set()
        # Threads of their own: uploads that wait to be decoded hold up no download.
        self._checks = ThreadPoolExecutor(_CHECKED_AT_ONCE, thread_name_prefix="upload-check")

    async def generate_video(
        self, form: Annotated[GenerateVideoForm, Form(media_type="multipart/form-data")]
    ) -> SubmittedTask:
        """Accept a portrait and a speech clip; the video is made in the background."""
        # A client that hangs up cancels us; its upload is then either accepted or discarded all the same.
        accepting = asyncio.create_task(self._accept(form))
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        return await asyncio.shield(accepting)

    async def task(self, task_id: str) -> TaskResponse:
        """How a task stands."""
        return TaskResponse.of(await self._snapshot(task_id))

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
        try:
            calls = (
                self._manager.call(TaskManagerActor.health),
                self._manager.call(TaskManagerActor.counts),
            )
            health, counts = await asyncio.wait_for(asyncio.gather(*calls), _HEALTH_TIMEOUT_S)
        except (ManagerUnavailable, TimeoutError, asyncio.TimeoutError):
            return HealthResponse.unready("the task manager does not answer")
        return HealthResponse.of(health, counts)

    async def landing_page(self) -> HTMLResponse:
        """A short page for people who open the address in a browser."""
        return HTMLResponse(await asyncio.to_thread(_LANDING_PAGE.read_text, encoding="utf-8"))

    async def _accept(self, form: GenerateVideoForm) -> SubmittedTask:
        task_id = str(uuid.uuid4())
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._checks, self._receive, task_id, form)
            task = await self._manager.call(TaskManagerActor.submit, _new_task(task_id, form))
        except Exception:
            await asyncio.to_thread(self._storage.discard_uploads, task_id)
            raise
        return SubmittedTask(task_id=task.id, status=task.status)

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


def _new_task(task_id: str, form: GenerateVideoForm) -> Task:
    return Task(
        id=task_id,
        engine="preview",
        params=form.params(),
        requested_device=form.device,
        created_at=time.time(),
        warnings=form.warnings(),
    )


def _why_no_video(task: Task) -> str:
    if task.status is TaskStatus.FAILED:
        return f"task {task.id} is failed: {task.error}"
    return f"task {task.id} is {task.status.value}; its video can be downloaded once it is completed"


def _errors(*status_codes: int) -> dict[int | str, dict[str, Any]]:
    """For the API documentation."""
    return {code: {"model": ErrorResponse} for code in status_codes}
