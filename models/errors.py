"""Everything that can go wrong between two uploads and a finished video.

GenerationError
├── ExplainedError       the user is told why, by a notice
│   ├── InputError       what the user sent: final, another attempt cannot help
│   │   ├── ImageError       the reference image
│   │   ├── AudioError       the audio file
│   │   └── ParameterError   one of the numbers
│   ├── OutOfMemory      the device has no room for even the smallest video
│   ├── EncodingError    ffmpeg could not write the video
│   └── DiskFull         the disk has no room for the video
├── CheckpointError      the diffusion engine's weights are missing or broken
└── Cancelled            somebody asked to stop
"""

from models.notices import Notice, Value


class GenerationError(Exception):
    """Base of every error this package raises on purpose."""


class ExplainedError(GenerationError):
    """There will be no video, and the user can be told why.

    Args:
        code: which error it is, a name in `models.notices.CATALOGUE`.
        values: what its sentence needs.

    Attributes:
        notice: the same, as it goes into the task.
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
        values: and `field`, the name of the request's field at fault, unless the class has it.

    Attributes:
        message: what is wrong, with the value, in words the user can act on.
        field: the name of the request's field at fault.
        allowed: what would have been accepted, where that can be said.
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
    """A parameter is outside what the engine can do."""


class CheckpointError(GenerationError):
    """A file of weights is missing, broken, or not the one that is expected."""


class OutOfMemory(ExplainedError):
    """The device's memory holds nothing of any size; another program may be holding it."""


class EncodingError(ExplainedError):
    """ffmpeg failed or wrote another number of frames than promised."""


class DiskFull(ExplainedError):
    """The disk has no room for the video; another attempt may find some."""


class Cancelled(GenerationError):
    """`should_stop` said so; nothing was published."""
