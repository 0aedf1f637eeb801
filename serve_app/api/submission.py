"""How a request for a video becomes a task. Knows nothing of forms, so that any API can submit."""

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

from models.frame_rate import FrameRate
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

# In a request:
RANDOM_SEED = -1  # draw one
WHOLE_AUDIO = 0  # a length: as many frames as the audio needs

# Uploads that one replica decodes at the same time; `models` bounds the memory and time of each.
_CHECKED_AT_ONCE = 2

# Requests with uploads that one replica handles at the same time: half of what Serve lets in (app.py). The
# other half is for requests about tasks.
_RECEIVED_AT_ONCE = 100
_RECEIVED_AT_ONCE_PER_OWNER = 50

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class VideoRequest:
    """What a client asks for.

    Attributes:
        chosen: all values that the client sent, under their names in the REST contract, except the files.
            The others have defaults, which depend on the engine and the release.
        reference_image: the portrait, seekable, and open until the request is accepted or refused.
        audio_file: the speech, also seekable and open.
        engine: which engine makes the video; `AUTO` for the best one that is deployed.
        device: which device the client asks for, "cuda" or "cpu".
        priority: higher ones start first.
        webhook_url: where to send a message when the task ends.
        consent: whether the client says that the person shown agrees.
        notices: the task's warnings about what was ignored.
        idempotency_key: chosen by the client; a repeated request has the same.
    """

    chosen: Mapping[str, FrameRate | float | str | None]
    reference_image: BinaryIO
    audio_file: BinaryIO
    engine: str = AUTO
    device: str = "cuda"
    priority: int = 0
    webhook_url: str | None = None
    consent: bool = False
    notices: tuple[Notice, ...] = ()
    idempotency_key: str | None = None

    def params(self, defaults: GenerationParams) -> GenerationParams:
        """The parameters for the engine.

        A random seed is drawn here, so that all attempts use the same. The length of the whole audio becomes
        the largest one, because engines know no other word for it.

        Args:
            defaults: the values for what the client did not choose.
        """
        known = GenerationParams.__dataclass_fields__
        numbers = {name: value for name, value in self.chosen.items() if name in known}
        if numbers.get("seed") == RANDOM_SEED:
            numbers["seed"] = random.randint(LIMITS.seed.least, LIMITS.seed.most)
        if numbers.get("length") == WHOLE_AUDIO:
            numbers["length"] = LIMITS.length.most
        return replace(defaults, **numbers)  # type: ignore[arg-type]  # they were validated

    def fingerprint(self) -> str:
        """Identifies the chosen values and the files: a SHA-256 in hexadecimal digits. Reads both files.

        It is kept in the journal, so a later release must compute the same.
        """
        digests = [_digest(self.reference_image), _digest(self.audio_file)]
        text = json.dumps([dict(self.chosen), digests], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


class Submissions:
    """Turns requests for videos into tasks in the journal.

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
        # Separate threads, so that uploads waiting to be decoded do not delay downloads.
        self._checks = ThreadPoolExecutor(_CHECKED_AT_ONCE, thread_name_prefix="upload-check")

    @contextlib.asynccontextmanager
    async def admit(self, caller: Caller, idempotency_key: str | None) -> AsyncIterator[None]:
        """Refuse a request for which there is no room; give others an upload slot while the context lasts.

        To be entered before the uploads are read.

        Raises:
            QueueFull: the maximum number of tasks is waiting, or of uploads being received.
            StorageFull: the disk has no room for another task.
            ManagerUnavailable, JournalUnavailable: whether there is room cannot be determined.
        """
        with self._slots.hold(caller.owner):
            await self._manager.call(TaskManagerActor.admit, caller.owner, idempotency_key)
            yield

    async def accept(self, request: VideoRequest, caller: Caller) -> SubmittedTask:
        """Make a task from an admitted request; a repeated request gets the task that it made before.

        If it is cancelled, for example because the client disconnects, it ends only once the task has been
        accepted or discarded: until then the files must stay open, and the upload slot stays taken.

        Raises:
            InputError: an upload cannot be used.
            InvalidRequest: the engine is not deployed, the webhook URL is not allowed, the label is less than
                the service requires, or consent is required and missing.
            IdempotencyKeyReused: the key was used for a different request.
            QueueFull, StorageFull: there is no room left.
            ManagerUnavailable, JournalUnavailable: the task may or may not have been accepted.
        """
        # A repeated request is answered even if a new one would be refused now.
        if repeated := await self._repeated(request, caller):
            return SubmittedTask(task_id=repeated.id, status=repeated.status)
        await self._check_now(request)
        submitting = asyncio.create_task(self._submit(request, caller))
        try:
            return await asyncio.shield(submitting)
        finally:
            await asyncio.wait([submitting])

    async def _repeated(self, request: VideoRequest, caller: Caller) -> Task | None:
        """The task that the same request made before, if any. Writes nothing: the disk may be full by now."""
        key = request.idempotency_key
        if key is None or not await self._manager.call(TaskManagerActor.knows, caller.owner, key):
            return None
        loop = asyncio.get_running_loop()
        fingerprint = await loop.run_in_executor(self._checks, request.fingerprint)
        return await self._manager.call(TaskManagerActor.repeated, caller.owner, key, fingerprint)

    async def _check_now(self, request: VideoRequest) -> None:
        """Refuse what cannot be judged from the request alone."""
        self._check_provenance(request)
        if request.engine not in (AUTO, *self._choice.deployed):
            reason = self._choice.left_out.get(request.engine, "there is no such engine")
            message = f"engine: {request.engine!r} is not deployed: {reason}"
            raise InvalidRequest(message, field="engine", allowed=", ".join(self._choice.deployed))
        if request.webhook_url is not None:
            resolving = webhooks.resolve(
                request.webhook_url, allow_private=self._settings.allow_private_webhooks
            )
            # If the name server does not respond, the URL is accepted: each delivery checks it again.
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(resolving, webhooks.TIMEOUT_S)

    def _check_provenance(self, request: VideoRequest) -> None:
        label = request.chosen.get("label", self._settings.min_label)
        if label not in self._settings.labels:
            allowed = ", ".join(repr(mode) for mode in self._settings.labels)
            message = f"label: {label!r} is less than this service requires; allowed are {allowed}"
            raise InvalidRequest(message, field="label", allowed=allowed)
        if self._settings.require_consent and not request.consent:
            message = "consent: must be true, to say that the person shown agrees to this video, not false"
            raise InvalidRequest(message, field="consent", allowed="'true'")

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
        defaults = replace(ENGINES[engine].default_params(self._settings), label=self._settings.min_label)
        return Task(
            id=str(uuid.uuid4()),
            engine=engine,
            params=request.params(defaults),
            requested_device=request.device,
            priority=request.priority,
            webhook_url=request.webhook_url,
            consent=request.consent,
            created_at=time.time(),
            progress=Progress(notices=request.notices),
            owner=caller.owner,
            idempotency_key=request.idempotency_key,
        )

    def _store(self, task_id: str, request: VideoRequest) -> str:
        """Store and check both uploads; returns the fingerprint."""
        self._storage.save_upload(task_id, "reference_image", request.reference_image, check_image)
        self._storage.save_upload(task_id, "audio_file", request.audio_file, check_audio)
        return request.fingerprint()


def _may_be_accepted(error: Exception) -> bool:
    """Whether the task may be in the journal although the answer was lost."""
    return isinstance(error, ManagerUnavailable) or (isinstance(error, JournalUnavailable) and error.unsure)


def _digest(file: BinaryIO) -> str:
    """The SHA-256 of a whole file, in hexadecimal digits; leaves the file at its start."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
