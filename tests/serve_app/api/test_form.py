"""What the form of a request comes to."""

import io
import re
from dataclasses import asdict
from fractions import Fraction
from typing import Annotated

import pytest
from fastapi import FastAPI, Form, UploadFile
from fastapi.testclient import TestClient

from models.notices import Notice
from models.params import LIMITS, GenerationParams
from serve_app.api.form import GenerateVideoForm, allowed_values


@pytest.fixture
def numbers(astronaut_file, speech_file):
    """Sends a form to a service with these default numbers; returns the numbers of its task."""

    def send(defaults, **fields):
        app = FastAPI()

        @app.post("/")
        async def params(form: Annotated[GenerateVideoForm, Form(media_type="multipart/form-data")]):
            return asdict(form.request(None).params(defaults))

        files = {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}
        return TestClient(app).post("/", files=files, data=fields).json()

    return send


def test_a_form_without_numbers_has_the_contract_s(numbers):
    assert numbers(GenerationParams()) == asdict(GenerationParams())


def test_the_defaults_are_those_of_the_engine(numbers):
    sent = numbers(GenerationParams(steps=30, cfg=2.5))
    assert (sent["steps"], sent["cfg"], sent["width"]) == (30, 2.5, 512)


def test_what_was_sent_wins_over_any_default(numbers):
    sent = numbers(GenerationParams(steps=30, cfg=2.5), steps="6", cfg="1.0", seed="3")
    assert (sent["steps"], sent["cfg"], sent["seed"]) == (6, 1.0, 3)


def test_choices_are_told_in_words():
    assert allowed_values("device") == "'cuda', 'cpu'"
    assert allowed_values("engine") == "'auto', 'echomimic', 'preview'"
    assert allowed_values("length") == "a whole number from 2 to 5000, or 0 for the whole audio"
    assert allowed_values("fps") == "a number from 1 to 60, or a fraction such as 30000/1001"


def form(**fields: str) -> GenerateVideoForm:
    files = {name: UploadFile(io.BytesIO()) for name in ("reference_image", "audio_file")}
    return GenerateVideoForm(**files, **fields)


def test_what_was_sent_is_chosen_in_the_types_of_the_contract():
    request = form(width="256", cfg="2", device="cpu", lenght="2").request("k")
    assert request.chosen == {"width": 256, "cfg": 2.0, "device": "cpu"}
    assert (request.device, request.engine, request.priority) == ("cpu", "auto", 0)
    assert request.idempotency_key == "k"


@pytest.mark.parametrize("fps", ["24", "24.0", " 24 ", "+24", "024", "48/2"])
def test_a_whole_rate_is_chosen_as_the_whole_number_it_always_was(fps):
    chosen = form(fps=fps).request(None).chosen["fps"]
    assert (type(chosen), chosen) == (int, 24)


@pytest.mark.parametrize("fps", ["23.976", "23.98", "24000/1001"])
def test_a_rate_of_ntsc_is_chosen_exactly(fps):
    request = form(fps=fps).request(None)
    assert request.chosen == {"fps": Fraction(24_000, 1001)}
    assert request.params(GenerationParams()).fps == Fraction(24_000, 1001)


def test_the_length_of_the_whole_audio_is_chosen_as_it_was_sent():
    assert form(length="0").request(None).chosen == {"length": 0}


@pytest.mark.parametrize(
    ("name", "value"), [("length", "1"), ("length", "-1"), ("fps", "0.5"), ("fps", "60.5")]
)
def test_a_number_outside_of_its_limits_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        form(**{name: value})


def test_the_schema_says_what_a_rate_and_a_length_may_be():
    fields = GenerateVideoForm.model_json_schema()["properties"]
    number, fraction = fields["fps"]["anyOf"]
    assert (number["type"], number["minimum"], number["maximum"]) == ("number", 1, 60)
    assert re.fullmatch(fraction["pattern"], "30000/1001")
    assert (fields["length"]["minimum"], fields["length"]["maximum"]) == (0, 5000)
    assert fields["length"]["not"] == {"exclusiveMinimum": 0, "exclusiveMaximum": 2}


def test_a_field_or_a_default_of_a_later_release_changes_no_choice():
    class LaterForm(GenerateVideoForm):
        fps: int = 25
        mood: str = "calm"

    later = LaterForm(**form().model_dump(include={"reference_image", "audio_file"}), width="256")
    assert later.request(None).chosen == form(width="256").request(None).chosen


def test_a_form_of_known_fields_has_no_warnings():
    assert form(width="256").notices() == ()


def test_an_unknown_field_is_named():
    assert form(lenght="2").notices() == (Notice.of("unknown_field", name="lenght"),)


def test_a_thousand_unknown_fields_with_endless_names_are_told_in_short():
    notices = form(**{f"{number:04}" + "x" * 8000: "" for number in range(1000)}).notices()

    assert notices[-1].text == "980 more unknown fields were ignored"
    assert sum(len(notice.text) for notice in notices) < 4000


@pytest.mark.parametrize("name", asdict(LIMITS))
def test_numbers_are_accepted_up_to_the_limits_of_the_models(name):
    limits = getattr(LIMITS, name)
    others = {"context_frames": str(LIMITS.context_frames.most)} if name == "context_overlap" else {}
    for number in (limits.least, limits.most):
        if name == "context_frames" and number <= GenerationParams.context_overlap:
            others = {"context_overlap": "0"}
        assert getattr(form(**others, **{name: str(number)}), name) == number
    with pytest.raises(ValueError, match=name):
        form(**others, **{name: str(limits.most + (limits.multiple_of or 1))})
