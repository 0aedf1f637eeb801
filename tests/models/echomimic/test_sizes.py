"""What is offered where the memory is too small."""

from models.echomimic.config import OFFICIAL
from models.echomimic.sizes import smaller
from models.params import GenerationParams


def test_shorter_windows_come_before_smaller_pictures() -> None:
    offers = [offer.words for offer in smaller(GenerationParams(), OFFICIAL)]
    assert offers == ["context_frames 6", "384 × 384 pixels", "256 × 256 pixels", "128 × 128 pixels"]


def test_sides_stay_what_the_model_can_do() -> None:
    offers = smaller(GenerationParams(width=520, height=776, context_overlap=11), OFFICIAL)
    assert [offer.words for offer in offers] == ["384 × 576 pixels", "256 × 384 pixels", "128 × 192 pixels"]


def test_the_smallest_has_nothing_smaller() -> None:
    tiny = GenerationParams(width=128, height=128, context_frames=2, context_overlap=1)
    assert list(smaller(tiny, OFFICIAL)) == []
