"""A changed task manager has a number of its own, or a running one would not be replaced by it."""

import pytest

from serve_app.tasks.code_version import CODE_VERSION, SOURCES
from tests.code_version import (
    COMMAND,
    Version,
    committed_versions,
    digest,
    due,
    manager_sources,
    text_of,
    versions_in,
)

ONE = '''"""A module."""

import os  # for its name


class Thing:
    """A thing."""

    def name(self, size: int | None = None) -> str:
        """Its name."""
        return f"{os.name!r:>{size}} of " "two parts"
'''

THE_SAME = """
import os


class Thing:
    def name(
        self,
        size: int | None = None,
    ) -> str:
        # Written in other words.
        return (f"{os.name!r:>{size}} of two parts")
"""


def test_the_recorded_version_is_that_of_the_sources():
    recorded = Version(CODE_VERSION, SOURCES)
    expected = due(recorded, digest(manager_sources()), committed_versions())
    if recorded != expected:
        pytest.fail(
            f"what the task manager loads has changed since version {CODE_VERSION} was recorded; run\n\n"
            f"    {COMMAND}\n\nwhich writes into serve_app/tasks/code_version.py\n\n{text_of(expected)}",
            pytrace=False,
        )


def test_comments_docstrings_and_formatting_do_not_count():
    assert digest({"one": ONE}) == digest({"one": THE_SAME})


def test_the_digest_is_the_same_on_every_python():
    assert digest({"one": ONE}) == "4702b96c481d1c9f"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("two parts", "two  parts"),
        ("= None", "= 0"),
        ("os.name", "os.sep"),
        ("!r", "!s"),
        ("    return", "    yield"),
    ],
)
def test_whatever_else_changes_counts(old, new):
    assert digest({"one": ONE}) != digest({"one": ONE.replace(old, new)})


def test_a_module_that_moves_counts():
    assert digest({"one": ONE}) != digest({"two": ONE})


def test_all_that_the_manager_loads_of_ours_counts():
    assert {
        "models",
        "models.params",
        "serve_app.settings",
        "serve_app.task",
        "serve_app.tasks",
        "serve_app.tasks.actor",
        "serve_app.tasks.leases",
        "serve_app.tasks.schema",
    } <= manager_sources().keys()
    assert "serve_app.tasks.code_version" not in manager_sources()


def test_a_number_that_nobody_has_can_still_be_given_to_other_sources():
    assert due(Version(6, "old"), "new", [Version(5, "released")]) == Version(6, "new")


def test_a_committed_number_stays_with_its_sources():
    released = [Version(5, "first"), Version(6, "second")]
    assert due(Version(6, "second"), "second", released) == Version(6, "second")
    assert due(Version(6, "second"), "new", released) == Version(7, "new")
    assert due(Version(6, "new"), "new", released) == Version(7, "new")


def test_the_number_never_falls_not_even_with_a_change_taken_back():
    released = [Version(5, "first"), Version(6, "second")]
    assert due(Version(6, "second"), "first", released) == Version(7, "first")
    assert due(Version(5, "first"), "first", released) == Version(7, "first")


def test_two_branches_with_the_same_number_get_another_when_they_are_merged():
    merged = [Version(6, "one"), Version(6, "other")]
    assert due(Version(6, "one"), "both", merged) == Version(7, "both")
    conflict = f"<<<<<<< HEAD\n{text_of(merged[0])}=======\n{text_of(merged[1])}>>>>>>> other\n"
    assert versions_in(conflict) == merged
