"""What to offer where the memory is too small: fewer frames a window, or a smaller picture.

Knows nothing of devices or memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.echomimic.config import Architecture
from models.params import LIMITS, GenerationParams

FEWEST_FRAMES = LIMITS.length.least  # a window of one frame knows no motion
SMALLEST_SIDE = LIMITS.width.least
STEPS_DOWN = (0.75, 0.5, 0.25)  # of the sides


@dataclass(frozen=True)
class Less:
    """Numbers that take less memory.

    Attributes:
        params: the numbers.
        field: what was made smaller.
        words: it, as the user is told.
    """

    params: GenerationParams
    field: str
    words: str


def smaller(params: GenerationParams, architecture: Architecture) -> Iterator[Less]:
    """First shorter windows, which keep the picture's size; then smaller pictures."""
    yield from _shorter_windows(params)
    yield from _smaller_pictures(params, architecture)


def _shorter_windows(params: GenerationParams) -> Iterator[Less]:
    frames = params.context_frames // 2
    while frames >= FEWEST_FRAMES and frames > params.context_overlap:
        yield Less(replace(params, context_frames=frames), "context_frames", f"context_frames {frames}")
        frames //= 2


def _smaller_pictures(params: GenerationParams, architecture: Architecture) -> Iterator[Less]:
    for share in STEPS_DOWN:
        width, height = (
            int(side * share) // architecture.latent_scale * architecture.latent_scale
            for side in (params.width, params.height)
        )
        if min(width, height) >= SMALLEST_SIDE:
            yield Less(replace(params, width=width, height=height), "width", f"{width} × {height} pixels")
