"""What each route of the REST interface does. Keeps no state of its own."""

import asyncio
import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, BinaryIO

from fastapi import Depends, Form, Header, Query, Request, Response
from fastapi.responses import FileResponse

from models.image import check_image
from models.notices import Notice
from models.progress import Progress
from models.speech import check_audio
from serve_app.access.api_keys import ApiKeys
from serve_app.api.form import GenerateVideoForm
from serve_app.api.health_answer import health_answer, unready_answer
from serve_app.api.middleware.access import SignUrl
from serve_app.api.upload_slots import UploadSlots
from serve_app.engines.choice import EngineChoice
from serve_app.errors import (
    InvalidRequest,
    JournalUnavailable,
    KeysUnavailable,
    ManagerUnavailable,
    TaskFinished,
    TaskNotFinished,
    VideoGone,
)
from serve_app.schemas import HealthResponse, SubmittedTask, TaskListResponse, TaskResponse
from serve_app.settings import Settings
from serve_app.storage.local import Storage
from serve_app.task import Task, TaskStatus
from serve_app.tasks import webhooks
from serve_app.tasks.actor import TaskManagerActor
from serve_app.tasks.manager_client import ManagerClient

IDEMPOTENCY_KEY = "Idempotency-Key"

_HEALTH_TIMEOUT_S = 3.0

_CHUNK_BYTES = 1024 * 1024

# Uploads that a replica decodes at once: each may take the memory and time that `models` allow it.
_CHECKED_AT_ONCE = 2

# Requests with uploads that a replica works on at once: half of what Serve lets in (app.py). The other half
# is for those who ask how their tasks stand.
_RECEIVED_AT_ONCE = 100
_RECEIVED_AT_ONCE_PER_OWNER = 50


def owner_of(request: Request) -> str | None:
    """To whom a task belongs that the request submits; None while API keys are off."""
    owner: str | None = getattr(request.state, "owner", None)
    return owner


def seen_by(request: Request) -> str | None:
    """Whose tasks the request may see; None sees everybody's."""
    sees: str | None = getattr(request.state, "sees", None)
    return sees


Owner = Annotated[str | None, Depends(owner_of)]
Sees = Annotated[str | None, Depends(seen_by)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=IDEMPOTENCY_KEY,
        min_length=1,
        max_length=255,
        description="The same key with the same request gives the same task, however often it is sent.",
    ),
]


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
        self._slots = UploadSlots(_RECEIVED_AT_ONCE, _RECEIVED_AT_ONCE_PER_OWNER)
        # Threads of their own: uploads that wait to be decoded hold up no download.
        self._checks = ThreadPoolExecutor(_CHECKED_AT_ONCE, thread_name_prefix="upload-check")

    @contextlib.asynccontextmanager
    async def admit(self, request: Request) -> AsyncIterator[None]:
        """Refuse a task for which there is no room, before its files are read; give the others a place."""
        owner = owner_of(request)
        self._slots.take(owner)
        try:
            await self._manager.call(TaskManagerActor.admit, owner, request.headers.get(IDEMPOTENCY_KEY))
            yield
        finally:
            self._leave(owner, getattr(request.state, "accepting", None))

    async def generate_video(
        self,
        request: Request,
        form: Annotated[GenerateVideoForm, Form(media_type="multipart/form-data")],
        owner: Owner,
        idempotency_key: IdempotencyKey = None,
    ) -> SubmittedTask:
        """Accept a portrait and a speech clip; the video is made in the background."""
        # What is refused now may have been accepted before, and its repetition still has an answer.
        if repeated := await self._repeated(form, owner, idempotency_key):
            return SubmittedTask(task_id=repeated.id, status=repeated.status)
        await self._check_now(form)
        # A client that hangs up cancels us; its upload is then either accepted or discarded all the same.
        accepting = asyncio.create_task(self._accept(form, owner, idempotency_key))
        request.state.accepting = accepting
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        return await asyncio.shield(accepting)

    async def task(self, task_id: str, sees: Sees, sign_url: SignUrl) -> TaskResponse:
        """How a task stands."""
        snapshot = await self._manager.call(TaskManagerActor.snapshot, task_id, sees)
        return TaskResponse.of(snapshot, sign_url, self._waits_for(snapshot.task))

    async def tasks(
        self,
        sees: Sees,
        sign_url: SignUrl,
        status: TaskStatus | None = None,
        cursor: Annotated[
            str | None, Query(pattern="^[0-9]{1,18}$", description="`next_cursor` of another page.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> TaskListResponse:
        """How all tasks stand, newest first."""
        before = None if cursor is None else int(cursor)
        page = await self._manager.call(TaskManagerActor.page, sees, status, before, limit)
        return TaskListResponse.of(page, sign_url)

    async def cancel(self, task_id: str, sees: Sees, sign_url: SignUrl) -> TaskResponse:
        """End a task that is not finished; it is failed then, with the error "cancelled"."""
        return TaskResponse.of(await self._manager.call(TaskManagerActor.cancel, task_id, sees), sign_url)

    async def delete(self, task_id: str, sees: Sees, sign_url: SignUrl) -> TaskResponse | Response:
        """Cancel a task that is not finished; remove a finished one with its files."""
        # Decided here: Ray repeats a call whose answer got lost, and one that found its task cancelled by
        # itself would remove it.
        task = (await self._manager.call(TaskManagerActor.snapshot, task_id, sees)).task
        if not task.status.final:
            with contextlib.suppress(TaskFinished):
                return await self.cancel(task_id, sees, sign_url)
        # In this order: a full disk may have no room to write down that the task is gone.
        await asyncio.to_thread(self._storage.remove, task_id)
        await self._manager.call(TaskManagerActor.remove, task_id, sees)
        return Response(status_code=204)

    async def download(self, task_id: str, sees: Sees) -> FileResponse:
        """The finished video. `HEAD` and `Range` are understood."""
        task = (await self._manager.call(TaskManagerActor.snapshot, task_id, sees)).task
        if task.video is None:
            raise TaskNotFinished(_why_no_video(task), field="task_id")
        video = self._storage.video(task_id, task.video)
        try:
            status = await asyncio.to_thread(os.stat, video)
        except FileNotFoundError:
            raise VideoGone(f"the video of task {task_id} is no longer kept", field="task_id") from None
        name = f"echomimic_{task_id}.mp4"
        return FileResponse(video, media_type="video/mp4", filename=name, stat_result=status)

    async def health(self) -> HealthResponse:
        """Whether the service is ready for tasks and, if not, why."""
        if self._keys and not self._keys.readable:
            return unready_answer(self._choice, KeysUnavailable().message)
        try:
            calls = (
                self._manager.call(TaskManagerActor.health),
                self._manager.call(TaskManagerActor.counts),
            )
            health, counts = await asyncio.wait_for(asyncio.gather(*calls), _HEALTH_TIMEOUT_S)
        except (ManagerUnavailable, JournalUnavailable) as error:
            return unready_answer(self._choice, error.message)
        except (TimeoutError, asyncio.TimeoutError):
            return unready_answer(self._choice, "the task manager does not answer")
        return health_answer(self._choice, health, counts)

    def _waits_for(self, task: Task) -> tuple[Notice, ...]:
        """What is said of a task that an earlier start of the service accepted, which had the engine."""
        why = self._choice.left_out.get(task.engine)
        if why is None or task.status is not TaskStatus.PENDING:
            return ()
        return (Notice.of("engine_not_deployed", engine=task.engine, reason=why),)

    def _leave(self, owner: str | None, accepting: asyncio.Task[SubmittedTask] | None) -> None:
        if accepting is None or accepting.done():
            self._slots.leave(owner)
        else:
            # Of a client that has hung up.
            accepting.add_done_callback(lambda _: self._slots.leave(owner))

    async def _repeated(
        self, form: GenerateVideoForm, owner: str | None, idempotency_key: str | None
    ) -> Task | None:
        """The task that the same request made before. Writes nothing: the disk may be full by now."""
        if idempotency_key is None:
            return None
        if not await self._manager.call(TaskManagerActor.knows, owner, idempotency_key):
            return None
        loop = asyncio.get_running_loop()
        fingerprint = await loop.run_in_executor(self._checks, _fingerprint, form)
        return await self._manager.call(TaskManagerActor.repeated, owner, idempotency_key, fingerprint)

    async def _check_now(self, form: GenerateVideoForm) -> None:
        """Refuse what depends on more than the form: on a name server, and on what is deployed."""
        if form.engine in self._choice.left_out:
            message = f"engine: {form.engine!r} is not deployed: {self._choice.left_out[form.engine]}"
            raise InvalidRequest(message, field="engine", allowed=", ".join(self._choice.deployed))
        if form.webhook_url is not None:
            resolving = webhooks.resolve(
                form.webhook_url, allow_private=self._settings.allow_private_webhooks
            )
            # Of a name server that does not answer nothing is known; each delivery asks it again.
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(resolving, webhooks.TIMEOUT_S)

    async def _accept(
        self, form: GenerateVideoForm, owner: str | None, idempotency_key: str | None
    ) -> SubmittedTask:
        new = replace(self._new_task(form), owner=owner, idempotency_key=idempotency_key)
        try:
            loop = asyncio.get_running_loop()
            fingerprint = await loop.run_in_executor(self._checks, self._receive, new.id, form)
            task = await self._manager.call(TaskManagerActor.submit, replace(new, fingerprint=fingerprint))
        except Exception as error:
            if not _may_be_accepted(error):
                await asyncio.to_thread(self._storage.remove_uploads, new.id)
            raise
        if task.id != new.id:
            await asyncio.to_thread(self._storage.remove_uploads, new.id)
        return SubmittedTask(task_id=task.id, status=task.status)

    def _new_task(self, form: GenerateVideoForm) -> Task:
        engine = self._choice.default if form.engine == "auto" else form.engine
        return Task(
            id=str(uuid.uuid4()),
            engine=engine,
            params=form.params(self._settings.default_params(engine)),
            requested_device=form.device,
            priority=form.priority,
            webhook_url=form.webhook_url,
            created_at=time.time(),
            progress=Progress(notices=form.notices()),
        )

    def _receive(self, task_id: str, form: GenerateVideoForm) -> str:
        """Store both uploads, look whether they can be what they should be; returns the fingerprint."""
        image, audio = self._storage.reference_image(task_id), self._storage.audio_file(task_id)
        self._storage.save_upload(form.reference_image.file, image)
        check_image(image)
        self._storage.save_upload(form.audio_file.file, audio)
        check_audio(audio)
        return _fingerprint(form)


def _may_be_accepted(error: Exception) -> bool:
    """Whether the task may be in the journal, and only the answer be missing; if not, its files are swept."""
    return isinstance(error, ManagerUnavailable) or (isinstance(error, JournalUnavailable) and error.unsure)


def _fingerprint(form: GenerateVideoForm) -> str:
    return form.fingerprint(*(_digest(upload.file) for upload in (form.reference_image, form.audio_file)))


def _digest(file: BinaryIO) -> str:
    """The SHA-256 of a whole file, in hexadecimal digits; it is then at its start."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def _why_no_video(task: Task) -> str:
    if task.status is TaskStatus.FAILED:
        return f"task {task.id} is failed: {task.error}"
    return f"task {task.id} is {task.status.value}; its video can be downloaded once it is completed"
