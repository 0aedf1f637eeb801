"""The multipart form of `POST /generate_video`: its fields, what each accepts, and what follows from them."""

import hashlib
import json
import random
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Le, MultipleOf
from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationInfo

from models.notices import Notice
from models.params import LIMITS, MAX_IMAGE_MEGAPIXELS, GenerationParams
from serve_app.settings import EngineName

# A form may have a thousand fields with names of kilobytes, and what a task says is kept and sent often.
IGNORED_TOLD = 20
IGNORED_NAME_LENGTH = 100

RANDOM_SEED = -1

_DEFAULTS = GenerationParams()

RequestedEngine = Literal["auto", EngineName]


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


class GenerateVideoForm(BaseModel):
    """The multipart form of `POST /generate_video`.

    Fields that are not listed are ignored, and the task says so in its `warnings`.
    """

    model_config = ConfigDict(extra="allow")

    reference_image: UploadFile = Field(
        description="The portrait: JPEG, PNG, WebP, BMP, TIFF or GIF, "
        f"at most {MAX_IMAGE_MEGAPIXELS} megapixels."
    )
    audio_file: UploadFile = Field(
        description="What is said: WAV, MP3, M4A, OGG, FLAC or WebM, judged by its content."
    )
    width: int = _number("width", "Width of the video in pixels.")
    height: int = _number("height", "Height of the video in pixels.")
    length: int = _number("length", "Most frames; a longer audio is cut, and the task says so.")
    seed: int = _number(
        "seed", "Same seed, same video; -1 draws one, which the task then tells.", ge=RANDOM_SEED
    )
    facemask_dilation_ratio: FiniteFloat = _number(
        "facemask_dilation_ratio", "How far the face mask reaches beyond the face box."
    )
    facecrop_dilation_ratio: FiniteFloat = _number(
        "facecrop_dilation_ratio", "How far the crop reaches beyond the face box."
    )
    context_frames: int = _number(
        "context_frames", "Frames per diffusion window. The preview has no windows."
    )
    context_overlap: Annotated[int, AfterValidator(_less_than_context_frames)] = _number(
        "context_overlap",
        "Frames shared by neighbouring windows, fewer than context_frames.",
        validate_default=True,
    )
    cfg: FiniteFloat = _number("cfg", "Guidance scale of the diffusion. The preview has none.")
    steps: int = _number("steps", "Diffusion steps. The preview has none.")
    sample_rate: int = Field(
        16_000,
        ge=8_000,
        le=48_000,
        description="Accepted for compatibility, without effect: speech is always analysed at 16 kHz, "
        "and the video carries the sound of the upload.",
    )
    fps: int = _number("fps", "Frames per second of the video.")
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
        if self.seed == RANDOM_SEED:
            numbers["seed"] = random.randint(LIMITS.seed.least, LIMITS.seed.most)
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

    def notices(self) -> tuple[Notice, ...]:
        """What the task should say about fields that were sent and mean nothing here."""
        names = sorted(self.model_extra or {})
        told = [Notice.of("unknown_field", name=name[:IGNORED_NAME_LENGTH]) for name in names[:IGNORED_TOLD]]
        more = len(names) - len(told)
        return (*told, Notice.of("more_unknown_fields", count=more)) if more else tuple(told)


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
