"""The parameters of one video, as the user requested them, and their limits.

Every limit of a request is defined here once: form, documentation and engines derive theirs from it. Knows
nothing of files, faces or networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from models.frame_rate import FrameRate


@dataclass(frozen=True)
class GenerationParams:
    """The parameters of one video, with the defaults of the REST contract; `LIMITS` has their ranges.

    An engine ignores parameters that do not apply to it (the preview has no `cfg`).
    """

    width: int = 512  # pixels
    height: int = 512  # pixels
    length: int = 1200  # frames at most
    seed: int = 420  # a random seed was drawn before it got here
    facemask_dilation_ratio: float = 0.1  # of the face box, added on each side of the mask
    facecrop_dilation_ratio: float = 0.5  # of the face box, added on each side of the crop
    context_frames: int = 12
    context_overlap: int = 3
    cfg: float = 1.0
    steps: int = 6
    fps: FrameRate = 24

    def flat(self) -> dict[str, Any]:
        """All parameters, of types that JSON has and every release knows.

        Earlier releases know only whole frame rates: they find the nearest one, and beside it the exact one,
        which they ignore.
        """
        if isinstance(self.fps, int):
            return dict(vars(self))
        return {**vars(self), "fps": round(self.fps), "exact_fps": str(self.fps)}

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> "GenerationParams":
        """From the flat form, made by this release or another.

        What is unknown here is ignored, and what an earlier release did not know gets its default.
        """
        known = {field.name: flat[field.name] for field in fields(cls) if field.name in flat}
        exact = {"fps": Fraction(flat["exact_fps"])} if "exact_fps" in flat else {}
        return cls(**{**known, **exact})

    def __getstate__(self) -> dict[str, Any]:
        return self.flat()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(vars(GenerationParams.from_flat(state)))


@dataclass(frozen=True)
class Range:
    """The allowed values of a number.

    Attributes:
        least: the smallest allowed value.
        most: the largest allowed value.
        multiple_of: what it must be a multiple of; None if any value in between is allowed.
    """

    least: int
    most: int
    multiple_of: int | None = None


_SIDE = Range(128, 1024, multiple_of=2**3)  # the diffusion model's autoencoder halves a side three times

_DILATION = Range(0, 1)  # at 1 the box is three times as wide and high


@dataclass(frozen=True)
class Limits:
    """The range of each number in `GenerationParams`, under its name.

    Those without a comment are taken from the REST contract, without a further reason.
    """

    width: Range = _SIDE
    height: Range = _SIDE
    length: Range = Range(2, 5000)  # one frame has no motion, and the diffusion network can't make it
    seed: Range = Range(0, 2**32 - 1)  # in a request, -1 draws one of them
    facemask_dilation_ratio: Range = _DILATION
    facecrop_dilation_ratio: Range = _DILATION
    context_frames: Range = Range(1, 32)  # positions in the table of EchoMimic's motion modules
    context_overlap: Range = Range(0, 10)  # and less than `context_frames`, or windows would never advance
    cfg: Range = Range(0, 10)  # up to 1 there is no guidance
    steps: Range = Range(1, 100)
    fps: Range = Range(1, 60)


LIMITS = Limits()

# The most demanding image of this size takes 1.3 GiB to decode; `models.image` has the bound.
MAX_IMAGE_MEGAPIXELS = 64

# A few megabytes of FLAC can hold weeks of silence, which would take too long to decode.
MAX_AUDIO_HOURS = 4
