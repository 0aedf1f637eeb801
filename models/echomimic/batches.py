"""Where more windows or pictures in one forward pass no longer pay, or no longer work.

Knows nothing of the memory that is free.
"""

from models.echomimic.config import Architecture
from models.echomimic.windows import windows
from models.params import GenerationParams

PIXELS = 512 * 512

# Of all frames in one forward pass. On CUDA a hundred of 512² are 100 TFLOP for the denoiser: no kernel
# launch shows beside that, and no tensor has 2³¹ elements, beyond which some kernels are slower or fail. On
# the CPU only small pictures gain: three windows at once are 1.5 times as fast as one at 64², 1.17 at 128².
MOST_PIXELS_DENOISED = {"cuda": 96 * PIXELS, "cpu": 36 * 128 * 128}
MOST_PIXELS_DECODED = {"cuda": 16 * PIXELS, "cpu": 128 * 128}

# Sequences of one attention over time, one for every latent pixel: CUDA's grids end here in their second
# dimension, in which fused kernels lay the batch out (pytorch/pytorch#146704).
MOST_SEQUENCES = 2**16 - 1


def most_windows(architecture: Architecture, params: GenerationParams, frames: int, kind: str) -> int:
    """Windows of a video in one forward pass, 1 or more.

    Args:
        architecture: of the networks.
        params: the numbers of the video.
        frames: that are denoised.
        kind: of device, "cuda" or "cpu".
    """
    ring = windows(frames, params.context_frames, params.context_overlap)
    halves = 2 if params.cfg > 1 else 1  # guidance has an unconditional one
    pixels = params.width * params.height * halves
    sequences = pixels // architecture.latent_scale**2
    most = MOST_PIXELS_DENOISED[kind] // (pixels * len(ring[0]))
    return max(min(most, MOST_SEQUENCES // sequences, len(ring)), 1)


def most_pictures(params: GenerationParams, frames: int, kind: str) -> int:
    """Pictures of a video that are decoded in one forward pass, 1 or more; see `most_windows`."""
    return max(min(MOST_PIXELS_DECODED[kind] // (params.width * params.height), frames), 1)
