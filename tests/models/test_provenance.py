import json

from models.provenance import UNKNOWN, Provenance


def test_machines_read_the_fields_of_the_chinese_standard():
    metadata = Provenance('某公司 "A"', "3f0e2c1a").metadata("preview")

    assert json.loads(metadata["AIGC"]) == {
        "Label": "1",
        "ContentProducer": '某公司 "A"',
        "ProduceID": "3f0e2c1a",
        "ReservedCode1": "",
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }
    assert "某公司" in metadata["AIGC"]


def test_people_read_that_it_is_ai_generated_and_by_which_engine():
    comment = UNKNOWN.metadata("echomimic")["comment"]

    assert comment.startswith("AI-generated")
    assert comment.endswith("engine echomimic")
