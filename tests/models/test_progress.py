import json

from models.notices import Notice
from models.progress import Progress, Stage


def test_begins_in_the_queue_with_nothing_known():
    assert Progress() == Progress(Stage.QUEUED, 0.0, 0, None, None, ())


def test_a_stage_is_its_name_in_json():
    assert json.dumps(list(Stage)) == '["queued", "preparing", "generating", "encoding"]'


def test_notices_can_be_read_as_sentences():
    assert Progress(notices=(Notice.of("several_faces", count=2),)).warnings == (
        "2 faces were found; the largest one speaks",
    )
