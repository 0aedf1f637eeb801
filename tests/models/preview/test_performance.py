"""What one sees: the face in the video speaks what is heard. Measured by MediaPipe on the frames."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.params import GenerationParams
from models.pipeline import generate_video
from models.preview import PreviewEngine
from models.progress import Progress
from tests.models.preview.mouth_measure import watch
from tests.models.preview.performances import CLIPS, Performance, never

PERFORMANCES: dict[str, dict[str, Any]] = {
    "a smiling woman": {"clip_name": "man"},
    "another voice, faster": {"clip_name": "woman_fast"},
    "closed lips": {"clip_name": "man", "closed": True},
    "flipped": {"clip_name": "man", "flip": True},
    "tilted 10 degrees": {"clip_name": "man", "tilt": 10.0},
    "tilted -10 degrees": {"clip_name": "woman_fast", "tilt": -10.0},
}


@pytest.fixture(params=list(PERFORMANCES.values()), ids=list(PERFORMANCES), scope="module")
def performance(request: pytest.FixtureRequest, perform: Callable[..., Performance]) -> Performance:
    return perform(**request.param)


def test_the_lips_follow_the_voice(performance: Performance) -> None:
    correlation, lag = performance.correlation_and_lag
    assert correlation >= 0.5
    assert abs(lag) <= 1


def test_one_sees_it_speak(performance: Performance) -> None:
    assert np.percentile(performance.motion.opening, 95) >= 0.04


def test_the_lips_are_closed_in_pauses(performance: Performance) -> None:
    assert performance.pauses.sum() >= 10
    in_pauses = performance.motion.opening[performance.pauses]
    assert in_pauses.max() < 0.2 * np.percentile(performance.motion.opening, 95)


def test_the_background_is_still(performance: Performance) -> None:
    assert performance.motion.background.max() <= 3


def test_the_eyes_blink_and_are_mostly_open(performance: Performance) -> None:
    shut = performance.motion.eyes < 0.5 * np.median(performance.motion.eyes)
    assert 1 <= shut.sum() <= 0.15 * len(shut)


def test_a_i_and_u_have_three_different_shapes(perform: Callable[..., Performance]) -> None:
    performance = perform("vowels")
    loud = performance.loudness > 0.1 * performance.loudness.max()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud, [0]])))
    vowels = [slice(start, stop) for start, stop in edges.reshape(-1, 2)]
    a, i, u = (float(performance.motion.opening[vowel].max()) for vowel in vowels)
    assert a > 1.2 * max(i, u)
    a, i, u = (float(np.median(performance.motion.width[vowel])) for vowel in vowels)
    assert i > a > u
    assert i > 1.05 * u


def test_the_encoded_video_speaks_before_a_still_background(
    astronaut_file: Path, decoded_frames: Callable[[Path, int, int], np.ndarray], tmp_path: Path
) -> None:
    params, output = GenerationParams(facecrop_dilation_ratio=1.0), tmp_path / "video.mp4"
    engine, speech_file = PreviewEngine(), CLIPS / "man.flac"
    pages: list[Progress] = []
    generate_video(engine, astronaut_file, speech_file, output, params, pages.append, never)
    motion = watch([decoded_frames(output, params.width, params.height)])
    assert len(motion.opening) == pages[-1].frames_requested
    assert np.percentile(motion.opening, 95) >= 0.04
    assert motion.background.max() <= 3
