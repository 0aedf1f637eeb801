import io

from fastapi import UploadFile

from serve_app.schemas import GenerateVideoForm


def form(**fields: str) -> GenerateVideoForm:
    files = {name: UploadFile(io.BytesIO()) for name in ("reference_image", "audio_file")}
    return GenerateVideoForm(**files, **fields)


def test_a_form_of_known_fields_has_no_warnings():
    assert form(width="256").warnings() == ()


def test_an_unknown_field_is_named():
    assert form(lenght="2").warnings() == ("unknown field 'lenght' was ignored",)


def test_a_thousand_unknown_fields_with_endless_names_are_told_in_short():
    warnings = form(**{f"{number:04}" + "x" * 8000: "" for number in range(1000)}).warnings()

    assert warnings[-1] == "980 more unknown fields were ignored"
    assert sum(map(len, warnings)) < 4000
