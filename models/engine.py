"""What every engine is: a portrait and a speech in, frames out."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from models.params import GenerationParams
from models.portrait import Portrait
from models.speech import Speech


class Engine(Protocol):
    """Turns a portrait and a speech into frames."""

    name: str  # as reported in the task: "preview" or "echomimic"
    device: str  # as torch spells it: "cpu", "cuda:0"

    def frames(
        self,
        portrait: Portrait,
        speech: Speech,
        params: GenerationParams,
        frame_count: int,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> Iterator[np.ndarray]:
        """Yield exactly `frame_count` frames, in order, in blocks.

        Args:
            portrait: the cropped portrait, `params.height` × `params.width`.
            speech: all of it; it lasts at least `frame_count / params.fps` seconds.
            on_progress: told the share of the work that is done, 0 to 1, rising.
            should_stop: asked at least once a block (a window of the diffusion).

        Yields:
            uint8 RGB arrays [n, height, width, 3], n ≥ 1. They are given away: the one before is still read
            (by the encoder) while the next is made, so its memory must not be used again.

        Raises:
            Cancelled: `should_stop` returned True.
            InputError: this engine cannot use the portrait or a parameter.
        """
        ...
