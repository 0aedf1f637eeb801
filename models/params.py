"""The numbers of one video, as the user asked for them. Knows nothing of files, faces or networks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GenerationParams:
    """The numbers of one video; ranges and defaults are those of the REST contract.

    An engine ignores what has no meaning for it (the preview has no `cfg`).
    """

    width: int = 512  # pixels
    height: int = 512  # pixels
    length: int = 1200  # most frames
    seed: int = 420  # 0 to 2**32 - 1; a random seed was drawn before it got here
    facemask_dilation_ratio: float = 0.1  # of the face box, added on each side of the mask
    facecrop_dilation_ratio: float = 0.5  # of the face box, added on each side of the crop
    context_frames: int = 12
    context_overlap: int = 3
    cfg: float = 1.0
    steps: int = 6
    fps: int = 24
