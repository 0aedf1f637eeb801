"""The ring of windows."""

from collections import Counter

import pytest

from models.echomimic.windows import windows
from models.errors import ParameterError


@pytest.mark.parametrize(("frames", "context", "overlap"), [(13, 12, 3), (50, 24, 6), (131, 12, 0)])
def test_every_frame_is_in_a_window(frames: int, context: int, overlap: int) -> None:
    visits = Counter(frame for window in windows(frames, context, overlap) for frame in window)
    assert sorted(visits) == list(range(frames))


def test_neighbours_share_the_overlap() -> None:
    first, second, *_ = windows(40, 12, 3)
    assert first[-3:] == second[:3]


def test_the_last_window_runs_on_into_the_first_frames() -> None:
    assert windows(20, 12, 3)[-1] == [18, 19, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_short_video_is_one_window() -> None:
    assert windows(7, 12, 3) == [[0, 1, 2, 3, 4, 5, 6]]


def test_windows_that_never_advance_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"context_overlap is 12.* at most 11"):
        windows(20, 12, 12)
