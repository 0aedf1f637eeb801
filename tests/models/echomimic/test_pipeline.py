"""What the pipeline refuses; that it makes videos is tested through the engine, in `test_engine.py`."""

import pytest

from models.echomimic.networks.config import TINY
from models.echomimic.pipeline import check
from models.errors import ParameterError
from models.params import GenerationParams


@pytest.mark.parametrize(
    ("width", "height", "frame_count", "context", "field"),
    [
        (500, 512, 24, 12, "width"),
        (512, 500, 24, 12, "height"),
        (512, 512, 1, 12, "length"),
        (512, 512, 24, 33, "context_frames"),
        (512, 512, 24, 3, "context_overlap"),
    ],
)
def test_what_the_model_cannot_do_is_refused(
    width: int, height: int, frame_count: int, context: int, field: str
) -> None:
    params = GenerationParams(width=width, height=height, context_frames=context, context_overlap=3)
    with pytest.raises(ParameterError) as refused:
        check(TINY, params, frame_count)
    assert refused.value.field == field
    assert refused.value.allowed


def test_what_it_can_do_passes() -> None:
    check(TINY, GenerationParams(width=504, height=512, context_frames=32, context_overlap=3), 2)
