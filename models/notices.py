"""Warnings and errors about a video as data: a code and its values, from which the sentence follows.

User interfaces translate by code; `CATALOGUE` has the English. Codes are part of the REST API: new ones are
added, but none is ever renamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from models.params import MAX_IMAGE_MEGAPIXELS

Value = Union[str, int, float, "Notice"]


@dataclass(frozen=True)
class Template:
    """The English text of a code, with values in braces, formatted by `str.format`.

    Attributes:
        message: what the user should know.
        allowed: what would have been accepted, if that can be said.
    """

    message: str
    allowed: str | None = None


_IMAGES = f"JPEG, PNG, WebP, HEIC, AVIF, BMP, TIFF or GIF, at most {MAX_IMAGE_MEGAPIXELS} megapixels"
_SOUNDS = "WAV, MP3, M4A, OGG, FLAC or WebM with an audio stream"

CATALOGUE: Mapping[str, Template] = {
    # Errors in the reference image.
    "image_empty": Template("the reference image is an empty file", _IMAGES),
    "image_unreadable": Template("the reference image cannot be read as an image", _IMAGES),
    "image_damaged": Template("the reference image is damaged: {reason}", _IMAGES),
    "image_too_large": Template(
        "the reference image is too large: {width}×{height} pixels, {megapixels:.0f} megapixels", _IMAGES
    ),
    "image_far_too_large": Template(
        f"the reference image is too large: over {MAX_IMAGE_MEGAPIXELS} megapixels", _IMAGES
    ),
    "image_too_deep": Template(
        "the reference image has 32 bits per channel; save it with 8", "8 or 16 bits per channel"
    ),
    "image_too_slow": Template("the reference image takes too long to decode", _IMAGES),
    "image_needs_memory": Template("the reference image takes too much memory to decode", _IMAGES),
    "image_broke_decoder": Template(
        "the reference image cannot be decoded: it crashed the decoder (code {exit_code})", _IMAGES
    ),
    "face_required": Template(
        "no face was found in {field}; the preview engine needs one",
        "a photo of one face, seen from the front, well lit and not covered",
    ),
    # Errors in the audio file.
    "audio_empty": Template("the audio file is empty", _SOUNDS),
    "audio_undecodable": Template("the audio file cannot be decoded: {reason}", _SOUNDS),
    "audio_not_accepted": Template("the format of the audio file is not accepted", _SOUNDS),
    "audio_without_sound": Template("the audio file contains no sound", _SOUNDS),
    "audio_too_slow": Template("the audio file takes too long to decode", _SOUNDS),
    "audio_too_long": Template("the audio lasts more than {hours} hours", "at most {hours} hours"),
    "audio_too_short": Template(
        "the audio lasts {seconds:.3f} s; at {fps} frames per second a video needs at least {needed:.3f} s",
        "at least {needed:.3f} s",
    ),
    # Errors in the numbers.
    "length_too_short": Template(
        "length is {length}, but a video needs at least {least} frames", "at least {least}"
    ),
    "not_a_multiple": Template(
        "{field} is {value}, but must be a multiple of {multiple}", "multiples of {multiple}"
    ),
    "context_frames_too_many": Template(
        "context_frames is {value}, but the model supports at most {most} frames per window", "1 to {most}"
    ),
    "context_overlap_too_large": Template(
        "context_overlap is {value}, but windows of {context_frames} frames can share at most {most}",
        "0 to {most}",
    ),
    "memory_too_small": Template(
        "the memory of {device} is too small for {width} × {height} pixels with windows of "
        "{context_frames} frames; {fits} would fit",
        "{fits}",
    ),
    # Failures of an attempt; a task that failed has the last one as its reason.
    "out_of_memory": Template(
        "the memory of {device} is too small for {width} × {height} pixels with windows of "
        "{context_frames} frames, and for anything smaller; another program may be using it"
    ),
    "encoding_failed": Template("ffmpeg could not write the video: {reason}"),
    "disk_full": Template("ffmpeg could not write the video: {reason}"),
    "frame_count_wrong": Template("the engine made {count} frames instead of {promised}"),
    "video_unreadable": Template("the video that ffmpeg wrote cannot be read: {reason}"),
    "frames_lost": Template("{written} frames were written, but the video has {count}"),
    "ffmpeg_ended": Template("ffmpeg ended with code {exit_code}"),
    "no_report": Template("no report for {seconds:g} s"),
    "no_progress": Template("no progress for {seconds:g} s"),
    "replica_died": Template("its replica died"),
    "replica_failed": Template("its replica failed"),
    "replica_without_result": Template("its replica ended without a result"),
    "device_lost": Template("{device} stopped responding"),
    "unexpected_error": Template("an unexpected error; see the log of the engine's replica"),
    # Other reasons for which a task failed.
    "gave_up": Template(
        "the service failed {failures} times while making this video; the last time: {reason}"
    ),
    "disk_stayed_full": Template(
        "the disk had no room for this video {count} times; the last time: {reason}"
    ),
    "cancelled": Template("cancelled"),
    # Warnings.
    "unknown_field": Template("unknown field {name!r} was ignored"),
    "more_unknown_fields": Template("{count} more unknown fields were ignored"),
    "engine_not_deployed": Template("waits for the engine {engine!r}, which is not deployed: {reason}"),
    "device_differs": Template("device {requested!r} was asked for; the {engine} engine ran on {device!r}"),
    "image_incomplete": Template(
        "the reference image is incomplete: its file ends early; {percent:.0f} % of the picture was decoded"
    ),
    "no_face": Template(
        "no face was found: the centred square of the image was used, and all of it counts as face"
    ),
    "photo_turned": Template(
        "no upright face was found in the photo as it is; turned clockwise by {degrees}°, it shows one"
    ),
    "face_box_estimated": Template(
        "EchoMimic's own face detector did not find the face; another one did, whose crop differs a little"
    ),
    "several_faces": Template("{count} faces were found; the largest one speaks"),
    "face_turned_away": Template(
        "the face looks too far to the side; the video will look better with a face seen from the front"
    ),
    "mouth_covered": Template(
        "no lips can be seen, so that a mouth opens in whatever covers them; use a photo that shows the mouth"
    ),
    "stretched": Template(
        "the square crop was stretched to {width}×{height}; equal width and height keep its proportions"
    ),
    "audio_damaged": Template(
        "the audio file is damaged ({reason}); the {seconds:.1f} s that could be decoded were used"
    ),
    "audio_tracks": Template("the audio file has {count} audio tracks; track {number} was used"),
    "audio_times_jump": Template(
        "the timestamps of the audio file jump by up to {seconds:.0f} s ({count} ×); "
        "the sound goes on there without a pause"
    ),
    "audio_times_ignored": Template(
        "the timestamps of the audio file do not fit its sound; they were ignored"
    ),
    "audio_rest_unread": Template(
        "the audio file goes on in another format; {seconds:.1f} s of it were left out"
    ),
    "no_voice": Template("no voice was found in the audio"),
    "audio_cut": Template(
        "the audio lasts {audio_seconds:.1f} s; the video was cut to {video_seconds:.1f} s "
        "because length is {length} frames"
    ),
    # A sentence from a release that had no codes.
    "text": Template("{text}"),
}


@dataclass(frozen=True)
class Notice:
    """Something that a user should know; made by `Notice.of`.

    Attributes:
        code: what it is, a name in `CATALOGUE` or in that of a newer release.
        values: the details, sorted by name. A value that is itself a notice is the reason for this one. An
            error in the input has the name of the request's field under "field".
    """

    code: str
    values: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, code: str, /, **values: Value) -> "Notice":
        """A notice with these values."""
        return cls(code, tuple(sorted(values.items())))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Notice":
        """A notice from the data that `as_json` made."""
        values = {name: _value_from_json(value) for name, value in data["values"].items()}
        return cls.of(data["code"], **values)

    def as_json(self) -> dict[str, Any]:
        """Code and values, as types that JSON has."""
        values = {
            name: value.as_json() if isinstance(value, Notice) else value for name, value in self.values
        }
        return {"code": self.code, "values": values}

    @property
    def field(self) -> str:
        """The name of the request's field at fault; "" if none is."""
        return str(dict(self.values).get("field", ""))

    @property
    def message(self) -> str:
        """The sentence, without the name of the field and without what is allowed."""
        template = CATALOGUE.get(self.code)
        return (template and self._filled(template.message)) or self._spelled_out()

    @property
    def allowed(self) -> str | None:
        """What would have been accepted, if that can be said."""
        template = CATALOGUE.get(self.code)
        return self._filled(template.allowed) if template and template.allowed else None

    @property
    def text(self) -> str:
        """Field, message and what is allowed, as one sentence."""
        text, allowed = self.message, self.allowed
        if self.field and self.code in CATALOGUE:
            text = f"{self.field}: {text}"
        return text if allowed is None or allowed in text else f"{text} (allowed: {allowed})"

    def __str__(self) -> str:
        return self.text

    def _filled(self, template: str) -> str | None:
        """The filled template; None if another release gave this code different values."""
        try:
            return template.format(**dict(self.values))
        except (LookupError, ValueError, TypeError):
            return None

    def _spelled_out(self) -> str:
        """A readable form of a code that a newer release has added."""
        values = ", ".join(f"{name}: {value}" for name, value in self.values)
        return self.code.replace("_", " ") + (f" ({values})" if values else "")


def _value_from_json(value: Any) -> Value:
    if isinstance(value, dict) and value.keys() >= {"code", "values"}:
        return Notice.from_json(value)
    # A newer release may have kinds of values that this one does not know.
    return value if isinstance(value, str | int | float) else str(value)
