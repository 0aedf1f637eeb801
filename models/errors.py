"""Everything that can go wrong between two uploads and a finished video.

GenerationError
├── ExplainedError       has a notice that explains it to the user
│   ├── InputError       the user's input is at fault; another attempt cannot help
│   │   ├── ImageError       the reference image
│   │   ├── AudioError       the audio file
│   │   └── ParameterError   one of the numbers
│   ├── OutOfMemory      the device has no room for even the smallest video
│   ├── EncodingError    ffmpeg could not write the video
│   └── DiskFull         the disk has no room for the video
├── CheckpointError      the diffusion engine's weights are missing or broken
└── Cancelled            the caller asked to stop
"""

from models.notices import Notice, Value


class GenerationError(Exception):
    """Base of every error this package raises on purpose."""


class ExplainedError(GenerationError):
    """There will be no video, for a reason that can be explained to the user.

    Args:
        code: which error it is, a name in `models.notices.CATALOGUE`.
        values: the values in its sentence.

    Attributes:
        notice: code and values, as they go into the task.
    """

    def __init__(self, code: str, /, **values: Value):
        super().__init__(code)
        self.notice = Notice.of(code, **values)

    def __str__(self) -> str:
        return self.notice.message


class InputError(ExplainedError):
    """The user's input cannot be used.

    Args:
        code: as in `ExplainedError`.
        values: as in `ExplainedError`, with `field`, the request's field at fault, unless the class sets it.

    Attributes:
        message: what is wrong, with the value, so that the user can act on it.
        field: the name of the request's field at fault.
        allowed: what would have been accepted, if that can be said.
    """

    field = ""

    def __init__(self, code: str, /, **values: Value):
        super().__init__(code, **{"field": self.field, **values})
        self.message = self.notice.message
        self.field = self.notice.field
        self.allowed = self.notice.allowed


class ImageError(InputError):
    """The reference image cannot be read, is too large, or shows no usable face."""

    field = "reference_image"


class AudioError(InputError):
    """The audio file cannot be decoded or is too short."""

    field = "audio_file"


class ParameterError(InputError):
    """A parameter has a value that the engine does not support."""


class CheckpointError(GenerationError):
    """A weights file is missing, broken, or not the expected one."""


class OutOfMemory(ExplainedError):
    """The device's memory is too small even for the smallest video; another program may be using it."""


class EncodingError(ExplainedError):
    """ffmpeg failed, or the number of frames is wrong."""


class DiskFull(ExplainedError):
    """The disk has no room for the video; another attempt may find some."""


class Cancelled(GenerationError):
    """`should_stop` returned True; nothing was published."""
