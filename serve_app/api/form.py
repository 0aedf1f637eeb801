"""The multipart form of `POST /generate_video`: its fields and what each accepts."""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Le, MultipleOf
from fastapi import UploadFile
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)

from models.frame_rate import FrameRate, parse_frame_rate
from models.notices import Notice
from models.params import LIMITS, MAX_IMAGE_MEGAPIXELS, GenerationParams, LabelMode
from serve_app.api.submission import RANDOM_SEED, WHOLE_AUDIO, VideoRequest
from serve_app.engines.registry import AUTO, engine_choices

# A form may have a thousand fields with names of several kilobytes, and a task's warnings are stored and sent
# often.
_NAMED_FIELDS = 20
_NAME_LENGTH = 100

_DEFAULTS = GenerationParams()

_WHOLE_NUMBER = TypeAdapter(int)

_FRAME_RATE_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": LIMITS.fps.least, "maximum": LIMITS.fps.most},
        {"type": "string", "pattern": "^[0-9]{1,9}/[0-9]{1,9}$"},
    ],
    "examples": [24, 23.976, "30000/1001"],
}


def _number(name: str, description: str, **options: Any) -> Any:
    """The field of one of `GenerationParams`, with its default and its limits."""
    limits = getattr(LIMITS, name)
    bounds = {"ge": limits.least, "le": limits.most, "multiple_of": limits.multiple_of}
    return Field(getattr(_DEFAULTS, name), description=description, **{**bounds, **options})


def _length_of_a_video(value: int) -> int:
    if WHOLE_AUDIO < value < LIMITS.length.least:
        raise ValueError(f"should be {LIMITS.length.least} or more, or {WHOLE_AUDIO}")
    return value


def _frame_rate(value: Any) -> FrameRate:
    """What is a whole number for other fields is one here."""
    try:
        rate: FrameRate = _WHOLE_NUMBER.validate_python(value)
    except ValidationError:
        rate = parse_frame_rate(str(value))
    if not LIMITS.fps.least <= rate <= LIMITS.fps.most:
        raise ValueError(f"should be from {LIMITS.fps.least} to {LIMITS.fps.most}")
    return rate


def _less_than_context_frames(value: int, info: ValidationInfo) -> int:
    context_frames = info.data.get("context_frames")
    if context_frames is not None and value >= context_frames:
        raise ValueError(f"must be less than context_frames, which is {context_frames}")
    return value


def _known_engine(value: str) -> str:
    if value not in engine_choices():
        raise ValueError(f"should be one of {_listed(engine_choices())}")
    return value


def _without_index(device: Any) -> Any:
    """PyTorch's name of a device without the number: "cuda" for "cuda:0"."""
    return re.sub(r"^(cuda|cpu):[0-9]+\Z", r"\1", device) if isinstance(device, str) else device


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
    length: Annotated[int, AfterValidator(_length_of_a_video)] = _number(
        "length",
        "Maximum number of frames; longer audio is cut, with a warning. "
        f"{WHOLE_AUDIO} means the whole audio, up to {LIMITS.length.most} frames.",
        ge=WHOLE_AUDIO,
        json_schema_extra={"not": {"exclusiveMinimum": WHOLE_AUDIO, "exclusiveMaximum": LIMITS.length.least}},
    )
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
    fps: Annotated[FrameRate, PlainValidator(_frame_rate), WithJsonSchema(_FRAME_RATE_SCHEMA)] = _number(
        "fps",
        "Frames per second of the video, also as a fraction. 23.976, 29.97 and 59.94 are 24000/1001, "
        "30000/1001 and 60000/1001.",
    )
    device: Annotated[Literal["cuda", "cpu"], BeforeValidator(_without_index)] = Field(
        "cuda",
        description="Accepted for compatibility, without effect: the engine uses the device it was deployed "
        "on, and a different one is a warning in the task. A number as in cuda:0 is ignored.",
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

    label: LabelMode = Field(
        "none",
        description="When the video shows that it is AI-generated: never, for its first two seconds (start), "
        "or always (corner). The service may require more than none, which is then the default.",
    )

    consent: bool = Field(
        False, description="Whether the person shown agrees to this video; the service may require it."
    )

    def request(self, idempotency_key: str | None) -> VideoRequest:
        """What the client asks for, independent of the form."""
        known = type(self).model_fields
        chosen = {
            name for name in self.model_fields_set & known.keys() if known[name].annotation is not UploadFile
        }
        return VideoRequest(
            chosen={name: getattr(self, name) for name in chosen},
            reference_image=self.reference_image.file,
            audio_file=self.audio_file.file,
            engine=self.engine,
            device=self.device,
            priority=self.priority,
            webhook_url=self.webhook_url,
            consent=self.consent,
            notices=self.notices(),
            idempotency_key=idempotency_key,
        )

    def notices(self) -> tuple[Notice, ...]:
        """The task's warnings about unknown fields."""
        names = sorted(self.model_extra or {})
        named = [Notice.of("unknown_field", name=name[:_NAME_LENGTH]) for name in names[:_NAMED_FIELDS]]
        more = len(names) - len(named)
        return (*named, Notice.of("more_unknown_fields", count=more)) if more else tuple(named)


def describe_requirements(schema: dict[str, Any], labels: Sequence[LabelMode], *, consent: bool) -> None:
    """Document what a service requires of the form by its settings.

    Args:
        schema: the OpenAPI document; altered in place.
        labels: those that a request may choose, the default first.
        consent: whether a request must say that the person shown agrees.
    """
    form = schema["components"]["schemas"][GenerateVideoForm.__name__]
    form["properties"]["label"] |= {"enum": list(labels), "default": labels[0]}
    if consent:
        form["properties"]["consent"]["const"] = True
        del form["properties"]["consent"]["default"]
        form["required"].append("consent")


def allowed_values(field_name: str) -> str | None:
    """A description of what a field of the form accepts; None for an unknown field."""
    field = GenerateVideoForm.model_fields.get(field_name)
    if field is None:
        return None
    if field.annotation is UploadFile:
        return "a file"
    if get_origin(field.annotation) is Literal:
        return _listed(get_args(field.annotation))
    if field.annotation is bool:
        return _listed(("true", "false"))
    if field_name == "engine":
        return _listed(engine_choices())
    if field_name == "webhook_url":
        return "an http or https URL"
    if field_name == "length":
        low, high = LIMITS.length.least, LIMITS.length.most
        return f"a whole number from {low} to {high}, or {WHOLE_AUDIO} for the whole audio"
    if field_name == "fps":
        return f"a number from {LIMITS.fps.least} to {LIMITS.fps.most}, or a fraction such as 30000/1001"
    kind = "a whole number" if field.annotation is int else "a number"
    bounds = {type(item): item for item in field.metadata}
    text = f"{kind} from {bounds[Ge].ge} to {bounds[Le].le}"
    if MultipleOf in bounds:
        text += f", a multiple of {bounds[MultipleOf].multiple_of}"
    return text
