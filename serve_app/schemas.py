"""The REST contract: what a request may say and what an answer holds."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Annotated, Literal, get_args, get_origin

from annotated_types import Ge, Le, MultipleOf
from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationInfo

from models.params import GenerationParams
from serve_app.engine_choice import EngineChoice
from serve_app.health import EngineHealth, Health
from serve_app.settings import EngineName
from serve_app.task import Stage, TaskPage, TaskSnapshot, TaskStatus

MAX_SEED = 2**32 - 1

# A form may have a thousand fields with names of kilobytes, and what a task says is kept and sent often.
IGNORED_TOLD = 20
IGNORED_NAME_LENGTH = 100

# EchoMimic's motion modules have a position table of 32 entries.
MAX_CONTEXT_FRAMES = 32

_DEFAULTS = GenerationParams()

RequestedEngine = Literal["auto", EngineName]

Side = Annotated[int, Field(ge=128, le=1024, multiple_of=8)]
Ratio = Annotated[FiniteFloat, Field(ge=0, le=1)]


def _less_than_context_frames(value: int, info: ValidationInfo) -> int:
    context_frames = info.data.get("context_frames")
    if context_frames is not None and value >= context_frames:
        raise ValueError(f"must be less than context_frames, which is {context_frames}")
    return value


class GenerateVideoForm(BaseModel):
    """The multipart form of `POST /generate_video`.

    Fields that are not listed are ignored, and the task says so in its `warnings`.
    """

    model_config = ConfigDict(extra="allow")

    reference_image: UploadFile = Field(
        description="The portrait: JPEG, PNG, WebP, BMP, TIFF or GIF, at most 64 megapixels."
    )
    audio_file: UploadFile = Field(
        description="What is said: WAV, MP3, M4A, OGG, FLAC or WebM, judged by its content."
    )
    width: Side = Field(_DEFAULTS.width, description="Width of the video in pixels.")
    height: Side = Field(_DEFAULTS.height, description="Height of the video in pixels.")
    length: int = Field(
        _DEFAULTS.length,
        ge=2,
        le=5000,
        description="Most frames; a longer audio is cut, and the task says so.",
    )
    seed: int = Field(
        _DEFAULTS.seed,
        ge=-1,
        le=MAX_SEED,
        description="Same seed, same video; -1 draws one, which the task then tells.",
    )
    facemask_dilation_ratio: Ratio = Field(
        _DEFAULTS.facemask_dilation_ratio, description="How far the face mask reaches beyond the face box."
    )
    facecrop_dilation_ratio: Ratio = Field(
        _DEFAULTS.facecrop_dilation_ratio, description="How far the crop reaches beyond the face box."
    )
    context_frames: int = Field(
        _DEFAULTS.context_frames,
        ge=1,
        le=MAX_CONTEXT_FRAMES,
        description="Frames per diffusion window. The preview has no windows.",
    )
    context_overlap: Annotated[int, AfterValidator(_less_than_context_frames)] = Field(
        _DEFAULTS.context_overlap,
        ge=0,
        le=10,
        validate_default=True,
        description="Frames shared by neighbouring windows, fewer than context_frames.",
    )
    cfg: FiniteFloat = Field(
        _DEFAULTS.cfg, ge=0, le=10, description="Guidance scale of the diffusion. The preview has none."
    )
    steps: int = Field(_DEFAULTS.steps, ge=1, le=100, description="Diffusion steps. The preview has none.")
    sample_rate: int = Field(
        16_000,
        ge=8_000,
        le=48_000,
        description="Accepted for compatibility, without effect: speech is always analysed at 16 kHz, "
        "and the video carries the sound of the upload.",
    )
    fps: int = Field(_DEFAULTS.fps, ge=1, le=60, description="Frames per second of the video.")
    device: Literal["cuda", "cpu"] = Field(
        "cuda",
        description="Accepted for compatibility: the replica's own device runs, and a difference is a "
        "warning in the task.",
    )
    engine: RequestedEngine = Field(
        "auto",
        description="What makes the video: echomimic, or preview for a quick draft; auto is the best one "
        "that is deployed.",
    )

    priority: int = Field(0, ge=-100, le=100, description="Higher starts first; equal ones first come.")

    webhook_url: str | None = Field(
        None, description="Who is told of the task's end: an http or https URL of a public address."
    )

    def params(self, defaults: GenerationParams) -> GenerationParams:
        """The numbers an engine needs.

        A random seed is drawn here, so that every attempt uses the same.

        Args:
            defaults: the numbers of fields that were not sent.
        """
        sent = self.model_fields_set & GenerationParams.__dataclass_fields__.keys()
        numbers = {name: getattr(self, name) for name in sent}
        if self.seed < 0:
            numbers["seed"] = random.randint(0, MAX_SEED)
        return replace(defaults, **numbers)

    def fingerprint(self, *file_digests: str) -> str:
        """The same for the same fields and files: a SHA-256 in hexadecimal digits.

        Of the fields that were sent alone: a later release may have others, and other defaults.
        """
        known = type(self).model_fields
        sent = {
            name for name in self.model_fields_set & known.keys() if known[name].annotation is not UploadFile
        }
        fields = self.model_dump(mode="json", include=sent)
        text = json.dumps([fields, file_digests], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def warnings(self) -> tuple[str, ...]:
        """What the task should say about fields that were sent and mean nothing here."""
        names = sorted(self.model_extra or {})
        told = [f"unknown field {name[:IGNORED_NAME_LENGTH]!r} was ignored" for name in names[:IGNORED_TOLD]]
        more = len(names) - len(told)
        return (*told, f"{more} more unknown fields were ignored") if more else tuple(told)


def allowed_values(field_name: str) -> str | None:
    """What a field of the form accepts, in words; None for an unknown field."""
    field = GenerateVideoForm.model_fields.get(field_name)
    if field is None:
        return None
    if field.annotation is UploadFile:
        return "a file"
    if get_origin(field.annotation) is Literal:
        return ", ".join(repr(choice) for choice in get_args(field.annotation))
    if field_name == "webhook_url":
        return "an http or https URL"
    kind = "a whole number" if field.annotation is int else "a number"
    bounds = {type(item): item for item in field.metadata}
    text = f"{kind} from {bounds[Ge].ge} to {bounds[Le].le}"
    if MultipleOf in bounds:
        text += f", a multiple of {bounds[MultipleOf].multiple_of}"
    return text


class SubmittedTask(BaseModel):
    """The answer to `POST /generate_video`."""

    task_id: str
    status: TaskStatus


class TaskResponse(BaseModel):
    """The answer to `GET /task/{task_id}`. The first four fields are those of the original service."""

    task_id: str
    status: TaskStatus
    output_file: str | None = Field(
        description="Name of the video once completed; `GET /download/{task_id}` delivers it."
    )
    error: str | None
    cancelled: bool = Field(description="Whether it is failed because somebody cancelled it.")
    stage: Stage | None = Field(description="Where an unfinished task stands; null once finished.")
    progress: float = Field(ge=0, le=1, description="Share of the whole job that is done.")
    priority: int
    queue_position: int | None = Field(description="1 for the pending task that starts next.")
    eta_seconds: float | None = Field(
        description="Estimated seconds until the video is there; null while nothing is known."
    )
    created_at: datetime
    started_at: datetime | None = Field(description="When the running or last attempt started.")
    finished_at: datetime | None
    engine: str = Field(description="Which engine makes or made the video.")
    device: str | None = Field(description="Where it runs or ran.")
    width: int
    height: int
    fps: int
    seed: int
    frames_requested: int | None = Field(
        description="Frames the video will have: the audio at fps, but at most length. Known once prepared."
    )
    frames_generated: int
    audio_seconds: float | None = Field(description="Duration of the whole upload. Known once prepared.")
    attempt: int = Field(description="How often work on this task was started.")
    download_url: str | None = Field(
        description="Path of the video once completed; where keys are needed, it opens for a while without."
    )
    warnings: list[str] = Field(description="What was done otherwise than one might expect, and why.")

    @classmethod
    def of(cls, snapshot: TaskSnapshot, sign_url: Callable[[str], str]) -> "TaskResponse":
        """What a client is told of a task.

        Args:
            snapshot: the task as it stands.
            sign_url: makes a path one that the client can open in a browser.
        """
        task = snapshot.task
        completed = task.status is TaskStatus.COMPLETED
        return cls(
            task_id=task.id,
            status=task.status,
            output_file=f"output/videos/{task.id}_with_audio.mp4" if completed else None,
            error=task.error,
            cancelled=task.cancelled,
            stage=task.stage,
            progress=round(task.progress, 4),
            priority=task.priority,
            queue_position=snapshot.queue_position,
            eta_seconds=None if snapshot.eta_seconds is None else round(snapshot.eta_seconds, 1),
            created_at=_utc(task.created_at),
            started_at=_utc(task.started_at) if task.started_at else None,
            finished_at=_utc(task.finished_at) if task.finished_at else None,
            engine=task.engine,
            device=task.device,
            width=task.params.width,
            height=task.params.height,
            fps=task.params.fps,
            seed=task.params.seed,
            frames_requested=task.frames_requested,
            frames_generated=task.frames_generated,
            audio_seconds=task.audio_seconds,
            attempt=task.attempt,
            download_url=sign_url(f"/download/{task.id}") if completed else None,
            warnings=list(task.warnings),
        )


class TaskListResponse(BaseModel):
    """The answer to `GET /tasks`."""

    tasks: list[TaskResponse] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="The `cursor` that leads to the older ones; null at the end.")

    @classmethod
    def of(cls, page: TaskPage, sign_url: Callable[[str], str]) -> "TaskListResponse":
        """What a client is told of some tasks; see `TaskResponse.of`."""
        cursor = None if page.next_cursor is None else str(page.next_cursor)
        return cls(
            tasks=[TaskResponse.of(snapshot, sign_url) for snapshot in page.snapshots], next_cursor=cursor
        )


class HealthResponse(BaseModel):
    """The answer to `GET /health`; that it answers at all means that the service is alive."""

    alive: Literal[True] = True
    ready: bool = Field(description="Whether a task sent now would be worked on.")
    reason: str | None = Field(description="Why the service is not ready.")
    engine: EngineName = Field(description="What makes the video of a task that asks for no engine.")
    engines: dict[str, EngineHealth]
    pending: int = Field(description="Tasks that wait.")
    processing: int = Field(description="Tasks that are worked on.")

    @classmethod
    def of(cls, choice: EngineChoice, health: Health, counts: Mapping[TaskStatus, int]) -> "HealthResponse":
        """What a client is told of the service."""
        left_out = {
            name: EngineHealth(0, ready=False, reason=f"not deployed: {why}")
            for name, why in choice.left_out.items()
        }
        default = health.engines.get(choice.default, EngineHealth(0, False, "the application is starting"))
        return cls(
            ready=default.ready,
            reason=None if default.ready else f"{choice.default}: {default.reason}",
            engine=choice.default,
            engines={**health.engines, **left_out},
            pending=counts[TaskStatus.PENDING],
            processing=counts[TaskStatus.PROCESSING],
        )

    @classmethod
    def unready(cls, choice: EngineChoice, reason: str) -> "HealthResponse":
        """What a client is told when nothing is known of the engines."""
        return cls(ready=False, reason=reason, engine=choice.default, engines={}, pending=0, processing=0)


class ErrorDetail(BaseModel):
    """What went wrong, for programs and for people."""

    type: str
    message: str
    field: str | None = None
    allowed: str | None = None


class ErrorResponse(BaseModel):
    """The one shape of every error; `detail` repeats the message where FastAPI's clients look for it."""

    error: ErrorDetail
    detail: str


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
