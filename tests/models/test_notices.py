import ast
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from models import errors
from models.errors import AudioError, DiskFull, ExplainedError, ImageError, ParameterError
from models.notices import CATALOGUE, Notice

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("models", "serve_app") for path in (ROOT / folder).rglob("*.py")]
ERRORS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, ExplainedError)
}

NESTED = Notice.of("audio_damaged", reason=Notice.of("ffmpeg_ended", exit_code=-9), seconds=1.25)


def test_the_sentence_follows_from_code_and_values():
    assert Notice.of("several_faces", count=3).text == "3 faces were found; the largest one speaks"


def test_a_reason_that_is_a_notice_itself_is_part_of_the_sentence():
    assert NESTED.text == (
        "the audio file is damaged (ffmpeg ended with code -9); the 1.2 s that could be decoded were used"
    )


def test_an_error_in_the_input_says_which_field_and_what_is_allowed():
    notice = ImageError("image_empty").notice

    assert notice.field == "reference_image"
    assert notice.text == f"reference_image: {notice.message} (allowed: {notice.allowed})"


def test_what_is_allowed_is_not_said_twice():
    notice = AudioError("audio_too_short", seconds=0.01, fps=24, needed=0.084).notice

    assert notice.text.count("at least 0.084 s") == 1


def test_the_code_of_a_newer_release_can_still_be_read():
    assert Notice.of("hat_in_the_way", field="reference_image", share=0.5).text == (
        "hat in the way (field: reference_image, share: 0.5)"
    )


@pytest.mark.parametrize("values", [{}, {"count": 2}, {"reason": "x", "seconds": "a while"}])
def test_a_known_code_with_the_values_of_another_release_can_still_be_read(values):
    assert Notice.of("audio_damaged", **values).text.startswith("audio damaged")


def test_values_of_a_kind_that_only_a_newer_release_knows_are_kept_as_words():
    notice = Notice.from_json(
        {"code": "hat", "values": {"size": {"in": "cm"}, "colour": None, "sides": [1, 2]}}
    )
    assert dict(notice.values) == {"size": "{'in': 'cm'}", "colour": "None", "sides": "[1, 2]"}


@pytest.mark.parametrize("word", ["{seconds}", "{0}", "{reason.__class__}", "%s"])
def test_words_of_others_are_taken_as_they_are(word):
    assert word in Notice.of("encoding_failed", reason=word).text


def test_equal_notices_are_one_however_their_values_were_named():
    assert len({Notice.of("stretched", width=1, height=2), Notice.of("stretched", height=2, width=1)}) == 1


@pytest.mark.parametrize("notice", [Notice.of("no_face"), NESTED, ImageError("image_empty").notice])
def test_travels_as_pickle_and_as_json(notice):
    assert pickle.loads(pickle.dumps(notice)) == notice
    assert Notice.from_json(json.loads(json.dumps(notice.as_json()))) == notice


@pytest.mark.parametrize(
    "error",
    [
        ImageError("image_damaged", reason="broken data stream"),
        ParameterError("not_a_multiple", field="width", value=129, multiple=8),
        DiskFull("disk_full", reason="No space left on device"),
    ],
)
def test_an_error_keeps_its_notice_on_its_way_to_another_process(error):
    copy = pickle.loads(pickle.dumps(error))

    assert (copy.notice, str(copy)) == (error.notice, str(error))


def test_every_code_is_used_and_every_use_has_the_values_of_its_sentence():
    used = dict.fromkeys(CATALOGUE, False)
    for code, values, place in uses():
        assert code in CATALOGUE, f"{place} has a code without a sentence: {code}"
        assert values == needed(code), f"{place} has other values than the sentence of {code}"
        used[code] = True

    assert [code for code, once in used.items() if not once] == []


def test_codes_are_plain_names():
    assert [code for code in CATALOGUE if not code.isidentifier() or code != code.lower()] == []


def needed(code: str) -> set[str]:
    template = CATALOGUE[code]
    parts = Formatter().parse(template.message + (template.allowed or ""))
    return {name for _, name, _, _ in parts if name and name != "field"}


def uses() -> Iterator[tuple[str, set[str], str]]:
    """Every notice that the sources make: its code, the names of its values without `field`, the place."""
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        dictionaries = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and makes_a_notice(node.func) and node.args:
                code, place = node.args[0], f"{path.relative_to(ROOT)}:{node.lineno}"
                if isinstance(code, ast.Constant):
                    yield str(code.value), set(names(node, dictionaries)) - {"field"}, place


def makes_a_notice(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr == "of" and ast.unparse(function.value) == "Notice"
    return isinstance(function, ast.Name) and function.id in ERRORS


def names(call: ast.Call, dictionaries: dict[str, ast.Dict]) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg
        elif isinstance(keyword.value, ast.Name):
            yield from (str(ast.literal_eval(key)) for key in dictionaries[keyword.value.id].keys if key)
