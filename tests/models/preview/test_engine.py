"""The preview engine as the pipeline sees it."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from models.engine import Control, Scene
from models.errors import Cancelled, ImageError
from models.frame_rate import FrameRate
from models.params import GenerationParams
from models.portrait import Portrait
from models.preview import PreviewEngine
from models.preview.acting import act
from models.preview.engine import BLOCK
from models.preview.puppet import Puppet
from models.speech import SAMPLE_RATE, Speech
from tests.models.preview.performances import clip, never

SMALL = GenerationParams(width=128, height=128)


def play(portrait: Portrait, speech: Speech, params: GenerationParams, count: int) -> np.ndarray:
    scene = Scene(portrait, speech, params, count)
    blocks = PreviewEngine().frames(scene, Control(lambda share: None, never))
    return np.concatenate(list(blocks))


def silence(seconds: float) -> Speech:
    return Speech(np.zeros(int(seconds * SAMPLE_RATE), np.int16))


def test_yields_exactly_the_frames_asked_for_in_small_blocks(small_portrait: Portrait) -> None:
    scene = Scene(small_portrait, clip("man"), SMALL, 2 * BLOCK + 3)
    shares: list[float] = []
    blocks = list(PreviewEngine().frames(scene, Control(shares.append, never)))
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 3]
    assert all(block.dtype == np.uint8 and block.shape[1:] == (128, 128, 3) for block in blocks)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_frames_come_in_the_order_of_the_speech_however_many_are_drawn_at_once(
    small_portrait: Portrait,
) -> None:
    count = 2 * BLOCK + 3
    assert small_portrait.landmarks is not None
    puppet = Puppet(small_portrait.image, small_portrait.landmarks)
    poses = act(clip("man").beginning(60), SMALL.fps, count, SMALL.seed)
    one_by_one = np.stack([puppet.draw(pose) for pose in poses])
    assert (play(small_portrait, clip("man"), SMALL, count) == one_by_one).all()


def test_the_same_seed_gives_the_same_video(small_portrait: Portrait) -> None:
    first, second = (play(small_portrait, clip("man"), SMALL, 48) for _ in range(2))
    assert (first == second).all()


def test_another_seed_moves_the_head_otherwise_but_not_before_it_starts(small_portrait: Portrait) -> None:
    one = play(small_portrait, silence(3), SMALL, 48)
    other = play(small_portrait, silence(3), replace(SMALL, seed=421), 48)
    assert (one[-1] != other[-1]).any()


def test_stops_when_asked_to(small_portrait: Portrait) -> None:
    asked = iter([False, True])
    scene = Scene(small_portrait, clip("man"), SMALL, 100)
    frames = PreviewEngine().frames(scene, Control(lambda share: None, lambda: next(asked)))
    assert len(next(frames)) == BLOCK
    with pytest.raises(Cancelled):
        next(frames)


def test_needs_a_face_and_says_so(small_portrait: Portrait) -> None:
    faceless = replace(small_portrait, landmarks=None)
    with pytest.raises(ImageError, match="no face was found in reference_image") as raised:
        play(faceless, clip("man"), SMALL, 10)
    assert raised.value.allowed


@pytest.mark.parametrize("fps", [1, 60, Fraction(24_000, 1001), Fraction(25, 2)])
def test_speaks_at_any_frame_rate(small_portrait: Portrait, fps: FrameRate) -> None:
    assert len(play(small_portrait, clip("vowels"), replace(SMALL, fps=fps), round(fps))) == round(fps)


@pytest.mark.parametrize(("seconds", "fps"), [(1.01, 24), (1.55, 10), (2.9, 12)])
def test_a_frame_in_which_the_speech_ends_changes_none_before_it(
    small_portrait: Portrait, seconds: float, fps: int
) -> None:
    speech = Speech(clip("man").samples[: round(seconds * SAMPLE_RATE)])
    filled = int(seconds * fps)
    whole, more = (play(small_portrait, speech, replace(SMALL, fps=fps), filled + n) for n in (0, 1))
    assert (more[:-1] == whole).all()


def test_the_mouth_closes_where_the_speech_ends_long_before_the_last_frame() -> None:
    samples = clip("vowels").beginning(60)
    loud = int(np.abs(samples).argmax())
    cut = samples[:loud]
    count = len(cut) * 12 // SAMPLE_RATE
    *_, last, _, _, later = act(cut, 12, count + 3, 420, count)
    assert last.opening > 0.1
    assert (later.opening, later.press, later.brow) == (0, 0, 0)


def test_blinks_at_twelve_frames_a_second_as_often_as_at_sixty(small_portrait: Portrait) -> None:
    counts = []
    for fps in (12, 60):
        shut = np.array([pose.blink > 0.5 for pose in act(silence(30).beginning(30), fps, 30 * fps, 420)])
        counts.append(int((np.diff(shut.astype(int)) == 1).sum()))
    assert counts[0] == counts[1] >= 3
