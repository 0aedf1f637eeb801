"""Which frames are denoised together: a ring of overlapping windows that turns a little every step.

Knows nothing of networks or noise.
"""

from models.errors import ParameterError

FRAMES_PER_TURN = 2  # so that window borders fall on other frames in every step


def windows(frames: int, context: int, overlap: int) -> list[list[int]]:
    """Cover a ring of `frames` with windows.

    The ring closes: the last window continues into the first frames. Where all frames fit into one window
    there is only one.

    Args:
        frames: in the video.
        context: frames per window.
        overlap: frames that neighbouring windows share.

    Returns:
        Frame numbers of each window, in the order the network sees them.

    Raises:
        ParameterError: windows overlap entirely, so that they would never advance.
    """
    if overlap >= context:
        raise ParameterError(
            "context_overlap_too_large",
            field="context_overlap",
            value=overlap,
            context_frames=context,
            most=context - 1,
        )
    length = min(frames, context)
    starts = range(0, frames, context - overlap) if frames > context else [0]
    return [[(start + i) % frames for i in range(length)] for start in starts]
