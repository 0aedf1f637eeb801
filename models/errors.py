"""Everything that can go wrong between two uploads and a finished video.

GenerationError
├── InputError           what the user sent: final, another attempt cannot help
│   ├── ImageError       the reference image
│   ├── AudioError       the audio file
│   └── ParameterError   one of the numbers
├── CheckpointError      the diffusion engine's weights are missing or broken
├── OutOfMemory          the device has no room for even the smallest video
├── EncodingError        ffmpeg could not write the video
├── DiskFull             the disk has no room for the video
└── Cancelled            somebody asked to stop
"""


class GenerationError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(GenerationError):
    """The user's input cannot be used.

    Args:
        message: what is wrong, with the value, in words the user can act on.
        field: the name of the request field at fault.
        allowed: what would have been accepted, where that can be said.
    """

    field = ""

    def __init__(self, message: str, *, field: str | None = None, allowed: str | None = None):
        super().__init__(message)
        self.message = message
        self.field = field or type(self).field
        self.allowed = allowed


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


class OutOfMemory(GenerationError):
    """The device's memory holds nothing of any size; another program may be holding it."""


class EncodingError(GenerationError):
    """ffmpeg failed or wrote another number of frames than promised."""


class DiskFull(GenerationError):
    """The disk has no room for the video; another attempt may find some."""


class Cancelled(GenerationError):
    """`should_stop` said so; nothing was published."""
