"""The multipart form of `POST /generate_video`: its fields and what each accepts."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Le, MultipleOf
from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationInfo

from models.notices import Notice
from models.params import LIMITS, MAX_IMAGE_MEGAPIXELS, GenerationParams
from serve_app.api.submission import RANDOM_SEED, VideoRequest
from serve_app.engines.registry import AUTO, engine_choices

# A form may have a thousand fields with names of several kilobytes, and a task's warnings are stored and sent
# often.
_NAMED_FIELDS = 20
_NAME_LENGTH = 100

_DEFAULTS = GenerationParams()


def _number(name: str, description: str, **options: Any) -> Any:
    """The field of one of `GenerationParams`, with its default and its limits."""
    limits = getattr(LIMITS, name)
    bounds = {"ge": limits.least, "le": limits.most, "multiple_of": limits.multiple_of}
    return Field(getattr(_DEFAULTS, name), description=description, **{**bounds, **options})


def _less_than_context_frames(value: int, info: ValidationInfo) -> int:
    context_frames = info.data.get("context_frames")
    if context_frames is not None and value >= context_frames:
        raise ValueError(f"must be less than context_frames, which is {context_frames}")
    return value


def _known_engine(value: str) -> str:
    if value not in engine_choices():
        raise ValueError(f"should be one of {_listed(engine_choices())}")
    return value


def _listed(choices: Iterable[str]) -> str:
    return ", ".join(repr(choice) for choice in choices)


class GenerateVideoForm(BaseModel):
    """The multipart form of `POST /generate_video`.

    Unknown fields are ignored, and the task names them in its `warnings`.
    """

    model_config = ConfigDict(extra="allow")

    reference_image: UploadFile = Field(
        description="The portrait: JPEG, PNG, WebP, HEIC, AVIF, BMP, TIFF or GIF, "
        f"at most {MAX_IMAGE_MEGAPIXELS} megapixels."
    )
    audio_file: UploadFile = Field(
        description="The speech: WAV, MP3, M4A, OGG, FLAC or WebM, recognised by its content."
    )
    width: int = _number("width", "Width of the video in pixels.")
    height: int = _number("height", "Height of the video in pixels.")
    length: int = _number("length", "Maximum number of frames; longer audio is cut, with a warning.")
    seed: int = _number(
        "seed",
        "The same seed gives the same video; -1 draws a random one, which the task reports.",
        ge=RANDOM_SEED,
    )
    facemask_dilation_ratio: FiniteFloat = _number(
        "facemask_dilation_ratio", "How far the face mask extends beyond the face box, as a share of the box."
    )
    facecrop_dilation_ratio: FiniteFloat = _number(
        "facecrop_dilation_ratio", "How far the crop extends beyond the face box, as a share of the box."
    )
    context_frames: int = _number("context_frames", "Frames per diffusion window; no effect on the preview.")
    context_overlap: Annotated[int, AfterValidator(_less_than_context_frames)] = _number(
        "context_overlap",
        "Frames shared by neighbouring windows; less than context_frames.",
        validate_default=True,
    )
    cfg: FiniteFloat = _number("cfg", "Guidance scale of the diffusion; no effect on the preview.")
    steps: int = _number("steps", "Diffusion steps; no effect on the preview.")
    sample_rate: int = Field(
        16_000,
        ge=8_000,
        le=48_000,
        description="Accepted for compatibility, without effect: speech is always analysed at 16 kHz, "
        "and the video carries the uploaded sound.",
    )
    fps: int = _number("fps", "Frames per second of the video.")
    device: Literal["cuda", "cpu"] = Field(
        "cuda",
        description="Accepted for compatibility, without effect: the engine uses the device it was deployed "
        "on, and a different one is a warning in the task.",
    )
    engine: Annotated[str, AfterValidator(_known_engine)] = Field(
        AUTO,
        description="Which engine makes the video: echomimic, or preview for a quick draft; auto takes the "
        "best one that is deployed.",
        json_schema_extra=lambda schema: schema.update(enum=list(engine_choices())),
    )

    priority: int = Field(
        0,
        ge=-100,
        le=100,
        description="Tasks with a higher priority start first; equal ones in the order of submission.",
    )

    webhook_url: str | None = Field(
        None,
        description="Where to send a message when the task ends: an http or https URL of a public address.",
    )

    def request(self, idempotency_key: str | None) -> VideoRequest:
        """What the client asks for, independent of the form."""
        known = type(self).model_fields
        chosen = {
            name for name in self.model_fields_set & known.keys() if known[name].annotation is not UploadFile
        }
        return VideoRequest(
            chosen=self.model_dump(mode="json", include=chosen),
            reference_image=self.reference_image.file,
            audio_file=self.audio_file.file,
            engine=self.engine,
            device=self.device,
            priority=self.priority,
            webhook_url=self.webhook_url,
            notices=self.notices(),
            idempotency_key=idempotency_key,
        )

    def notices(self) -> tuple[Notice, ...]:
        """The task's warnings about unknown fields."""
        names = sorted(self.model_extra or {})
        named = [Notice.of("unknown_field", name=name[:_NAME_LENGTH]) for name in names[:_NAMED_FIELDS]]
        more = len(names) - len(named)
        return (*named, Notice.of("more_unknown_fields", count=more)) if more else tuple(named)


def allowed_values(field_name: str) -> str | None:
    """A description of what a field of the form accepts; None for an unknown field."""
    field = GenerateVideoForm.model_fields.get(field_name)
    if field is None:
        return None
    if field.annotation is UploadFile:
        return "a file"
    if get_origin(field.annotation) is Literal:
        return _listed(get_args(field.annotation))
    if field_name == "engine":
        return _listed(engine_choices())
    if field_name == "webhook_url":
        return "an http or https URL"
    kind = "a whole number" if field.annotation is int else "a number"
    bounds = {type(item): item for item in field.metadata}
    text = f"{kind} from {bounds[Ge].ge} to {bounds[Le].le}"
    if MultipleOf in bounds:
        text += f", a multiple of {bounds[MultipleOf].multiple_of}"
    return text
