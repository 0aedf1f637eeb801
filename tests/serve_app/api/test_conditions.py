"""Which version of a resource a client says it has."""

import pytest
from starlette.datastructures import Headers

from serve_app.api.conditions import is_current, is_same_version

TAG = '"5d41"'
MODIFIED_AT = 784_111_777.9
LAST_MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"


def current(*sent):
    headers = Headers(raw=[(name.encode(), value.encode()) for name, value in sent])
    return is_current(headers, TAG, MODIFIED_AT)


@pytest.mark.parametrize(
    "tags", [TAG, f"W/{TAG}", "*", " * ", f'"a", {TAG}', f'"a",W/"b" ,W/{TAG},', f'"a,b", {TAG}']
)
def test_a_client_that_names_this_version_or_any_has_it(tags):
    assert current(("if-none-match", tags))


@pytest.mark.parametrize("tags", ['"5d4"', 'W/"other"', "", "5d41", '"*"', '"a" "b"', '"', f'"a{TAG}b"'])
def test_a_client_that_names_other_versions_has_not(tags):
    assert not current(("if-none-match", tags))


def test_the_versions_may_be_listed_in_several_headers():
    assert current(("if-none-match", '"a"'), ("if-none-match", TAG))


@pytest.mark.parametrize(
    "date", [LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:38 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"]
)
def test_a_client_whose_version_is_as_new_has_it(date):
    assert current(("if-modified-since", date))


@pytest.mark.parametrize(
    "date",
    ["Sun, 06 Nov 1994 08:49:36 GMT", "", "0", "yesterday", "Sun, 99 Nov 1994 08:49:37 GMT", "9" * 5000],
)
def test_an_older_version_or_no_date_is_not_current(date):
    assert not current(("if-modified-since", date))


def test_the_entity_tag_outweighs_the_date():
    assert not current(("if-none-match", '"other"'), ("if-modified-since", LAST_MODIFIED))


def test_a_client_that_says_nothing_has_nothing():
    assert not current()


@pytest.mark.parametrize("condition", [TAG, LAST_MODIFIED])
def test_ranges_go_on_with_exactly_this_version(condition):
    assert is_same_version(Headers({"if-range": condition}), TAG, LAST_MODIFIED)


@pytest.mark.parametrize(
    "condition", [f"W/{TAG}", '"other"', "*", "", "Sun, 06 Nov 1994 08:49:38 GMT", f'{TAG}, "other"']
)
def test_ranges_do_not_go_on_with_a_version_that_may_differ(condition):
    assert not is_same_version(Headers({"if-range": condition}), TAG, LAST_MODIFIED)


def test_ranges_without_a_condition_are_of_any_version():
    assert is_same_version(Headers(), TAG, LAST_MODIFIED)
