"""How a request for a video becomes a task, whichever front door it came through. Knows no form."""

import asyncio
import contextlib
import hashlib
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import BinaryIO

from models.image import check_image
from models.notices import Notice
from models.params import LIMITS, GenerationParams
from models.progress import Progress
from models.speech import check_audio
from serve_app.api.caller import Caller
from serve_app.api.upload_slots import UploadSlots
from serve_app.engines.choice import EngineChoice
from serve_app.engines.registry import AUTO, ENGINES
from serve_app.errors import InvalidRequest, JournalUnavailable, ManagerUnavailable
from serve_app.schemas import SubmittedTask
from serve_app.settings import Settings
from serve_app.storage.base import Storage
from serve_app.task import Task
from serve_app.tasks import webhooks
from serve_app.tasks.actor import TaskManagerActor
from serve_app.tasks.manager_client import ManagerClient

RANDOM_SEED = -1  # in a request: draw one

# Uploads that a replica decodes at once: each may take the memory and time that `models` allow it.
_CHECKED_AT_ONCE = 2

# Requests with uploads that a replica works on at once: half of what Serve lets in (app.py). The other half
# is for those who ask how their tasks stand.
_RECEIVED_AT_ONCE = 100
_RECEIVED_AT_ONCE_PER_OWNER = 50

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class VideoRequest:
    """What a client asks for.

    Attributes:
        chosen: every choice that the client made itself, under its name in the REST contract: what is not
            here has a default, which another release or another engine may have otherwise.
        reference_image: the portrait, seekable; open until the request is accepted or refused.
        audio_file: the speech, likewise.
        engine: which engine is to make the video; `AUTO` for the best that is deployed.
        device: where it is to run, "cuda" or "cpu".
        priority: higher starts first.
        webhook_url: who is to be told of the end.
        notices: what the task should say about choices that mean nothing here.
        idempotency_key: the same for the same request, however often it is sent.
    """

    chosen: Mapping[str, int | float | str | None]
    reference_image: BinaryIO
    audio_file: BinaryIO
    engine: str = AUTO
    device: str = "cuda"
    priority: int = 0
    webhook_url: str | None = None
    notices: tuple[Notice, ...] = ()
    idempotency_key: str | None = None

    def params(self, defaults: GenerationParams) -> GenerationParams:
        """The numbers an engine needs.

        A random seed is drawn here, so that every attempt uses the same.

        Args:
            defaults: the numbers that the client did not choose.
        """
        known = GenerationParams.__dataclass_fields__
        numbers = {name: value for name, value in self.chosen.items() if name in known}
        params = replace(defaults, **numbers)  # type: ignore[arg-type]  # they were validated
        if params.seed != RANDOM_SEED:
            return params
        return replace(params, seed=random.randint(LIMITS.seed.least, LIMITS.seed.most))

    def fingerprint(self) -> str:
        """The same for the same choices and files: a SHA-256 in hexadecimal digits. Reads both files.

        Journals keep it: a later release must find the same.
        """
        digests = [_digest(self.reference_image), _digest(self.audio_file)]
        text = json.dumps([dict(self.chosen), digests], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Submissions:
    """The way of every request for a video into the journal.

    Args:
        settings: the builder's arguments.
        choice: which engines are deployed.
        manager: where tasks are kept.
        storage: where uploads are kept.
    """

    def __init__(self, settings: Settings, choice: EngineChoice, manager: ManagerClient, storage: Storage):
        self._settings = settings
        self._choice = choice
        self._manager = manager
        self._storage = storage
        self._slots = UploadSlots(_RECEIVED_AT_ONCE, _RECEIVED_AT_ONCE_PER_OWNER)
        # Threads of their own: uploads that wait to be decoded hold up no download.
        self._checks = ThreadPoolExecutor(_CHECKED_AT_ONCE, thread_name_prefix="upload-check")

    @contextlib.asynccontextmanager
    async def admit(self, caller: Caller, idempotency_key: str | None) -> AsyncIterator[None]:
        """Refuse a request for which there is no room before its uploads are read; give others a slot.

        To be entered by every front door, and left when the request is answered.

        Raises:
            QueueFull: too many tasks wait, or too many uploads are being received.
            StorageFull: the disk has no room for another task.
            ManagerUnavailable, JournalUnavailable: nobody can say.
        """
        with self._slots.hold(caller.owner):
            await self._manager.call(TaskManagerActor.admit, caller.owner, idempotency_key)
            yield

    async def accept(self, request: VideoRequest, caller: Caller) -> SubmittedTask:
        """Make a task of a request that was admitted, or find the one that it made when it came before.

        A caller that is cancelled, as when its client hangs up, stays until the task is accepted or
        discarded: so long it has its slot, and its files are open.

        Raises:
            InputError: an upload is not what it should be.
            InvalidRequest: the engine is not deployed, or the webhook leads nowhere.
            IdempotencyKeyReused: the key came with another request before.
            QueueFull, StorageFull: there is no room any more.
            ManagerUnavailable, JournalUnavailable: the task cannot be written down, or perhaps it was.
        """
        # What is refused now may have been accepted before, and its repetition still has an answer.
        if repeated := await self._repeated(request, caller):
            return SubmittedTask(task_id=repeated.id, status=repeated.status)
        await self._check_now(request)
        submitting = asyncio.create_task(self._submit(request, caller))
        try:
            return await asyncio.shield(submitting)
        finally:
            await asyncio.wait([submitting])

    async def _repeated(self, request: VideoRequest, caller: Caller) -> Task | None:
        """The task that the same request made before. Writes nothing: the disk may be full by now."""
        key = request.idempotency_key
        if key is None or not await self._manager.call(TaskManagerActor.knows, caller.owner, key):
            return None
        loop = asyncio.get_running_loop()
        fingerprint = await loop.run_in_executor(self._checks, request.fingerprint)
        return await self._manager.call(TaskManagerActor.repeated, caller.owner, key, fingerprint)

    async def _check_now(self, request: VideoRequest) -> None:
        """Refuse what depends on more than the request: on a name server, and on what is deployed."""
        if request.engine in self._choice.left_out:
            reason = self._choice.left_out[request.engine]
            message = f"engine: {request.engine!r} is not deployed: {reason}"
            raise InvalidRequest(message, field="engine", allowed=", ".join(self._choice.deployed))
        if request.webhook_url is not None:
            resolving = webhooks.resolve(
                request.webhook_url, allow_private=self._settings.allow_private_webhooks
            )
            # Of a name server that does not answer nothing is known; each delivery asks it again.
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(resolving, webhooks.TIMEOUT_S)

    async def _submit(self, request: VideoRequest, caller: Caller) -> SubmittedTask:
        new = self._new_task(request, caller)
        try:
            loop = asyncio.get_running_loop()
            fingerprint = await loop.run_in_executor(self._checks, self._store, new.id, request)
            task = await self._manager.call(TaskManagerActor.submit, replace(new, fingerprint=fingerprint))
        except Exception as error:
            if not _may_be_accepted(error):
                await asyncio.to_thread(self._storage.remove_uploads, new.id)
            raise
        if task.id != new.id:
            await asyncio.to_thread(self._storage.remove_uploads, new.id)
        return SubmittedTask(task_id=task.id, status=task.status)

    def _new_task(self, request: VideoRequest, caller: Caller) -> Task:
        engine = self._choice.default if request.engine == AUTO else request.engine
        return Task(
            id=str(uuid.uuid4()),
            engine=engine,
            params=request.params(ENGINES[engine].default_params(self._settings)),
            requested_device=request.device,
            priority=request.priority,
            webhook_url=request.webhook_url,
            created_at=time.time(),
            progress=Progress(notices=request.notices),
            owner=caller.owner,
            idempotency_key=request.idempotency_key,
        )

    def _store(self, task_id: str, request: VideoRequest) -> str:
        """Store both uploads, look whether they can be what they should be; returns the fingerprint."""
        self._storage.save_upload(task_id, "reference_image", request.reference_image, check_image)
        self._storage.save_upload(task_id, "audio_file", request.audio_file, check_audio)
        return request.fingerprint()


def _may_be_accepted(error: Exception) -> bool:
    """Whether the task may be in the journal, and only the answer be missing; if not, its files are swept."""
    return isinstance(error, ManagerUnavailable) or (isinstance(error, JournalUnavailable) and error.unsure)


def _digest(file: BinaryIO) -> str:
    """The SHA-256 of a whole file, in hexadecimal digits; it is then at its start."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
