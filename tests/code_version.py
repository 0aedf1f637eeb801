"""The number of the task manager's code, which rises with every change to what the manager loads.

    python -m tests.code_version --record    after a change, also in the middle of a merge

The digest of the sources stands beside the number. Comments, docstrings and formatting do not count, and it
is the same on every Python that the service supports. A committed number is never used for other sources:
somebody may run them.
"""

import argparse
import ast
import hashlib
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.imports import MODULES, ROOT, reached

ACTOR = "serve_app.tasks.actor"
RECORD = "serve_app.tasks.code_version"
FILE = MODULES[RECORD]
COMMAND = "python -m tests.code_version --record"

_DIGITS = 16

_TEMPLATE = '''\
"""Which code of the task manager this is: the actor outlives its application, and newer code replaces it.

Written by `{command}`.
"""

CODE_VERSION = {version}
SOURCES = "{sources}"
'''


class Version(NamedTuple):
    """A number, and the digest of the sources it stands for."""

    number: int
    sources: str


def text_of(version: Version) -> str:
    """The file that records this version."""
    return _TEMPLATE.format(command=COMMAND, version=version.number, sources=version.sources)


def versions_in(text: str) -> list[Version]:
    """What such a file records: one version, or in the middle of a merge two."""
    numbers = map(int, re.findall(r"^CODE_VERSION = (\d+)$", text, flags=re.MULTILINE))
    digests = re.findall(r'^SOURCES = "(\w*)"$', text, flags=re.MULTILINE)
    return [Version(*pair) for pair in zip(numbers, digests, strict=True)]


def digest(sources: Mapping[str, str]) -> str:
    """What modules come to, given by name and text: equal where their syntax trees are."""
    trees = {name: _plain(_parse(text)) for name, text in sources.items()}
    return hashlib.sha256(json.dumps(trees, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def manager_sources() -> dict[str, str]:
    """The text of every module of ours that is loaded with the actor, but not of the record itself."""
    loaded = reached(ACTOR) & MODULES.keys()
    packages = {name.rpartition(".")[0] for name in loaded} & MODULES.keys()
    return {name: MODULES[name].read_text(encoding="utf-8") for name in (loaded | packages) - {RECORD}}


def due(recorded: Version, sources: str, committed: Iterable[Version]) -> Version:
    """What is to be recorded: the same where it is right; else a higher number where this one is taken.

    Args:
        recorded: what is recorded now.
        sources: the digest of the sources as they are.
        committed: what was ever recorded, as far as the history of the checkout tells.
    """
    known = list(committed)
    highest = max((version.number for version in known), default=0)
    taken = any(version.number == recorded.number and version.sources != sources for version in known)
    number = highest + 1 if taken or recorded.number < highest else recorded.number
    return Version(number, sources)


def committed_versions() -> list[Version]:
    """Every version that a commit before this checkout recorded; none where there is no history."""
    path = str(FILE.relative_to(ROOT))
    merged = _git("rev-parse", "--quiet", "--verify", "MERGE_HEAD").split()
    commits = _git("log", "--full-history", "--format=%H", "HEAD", *merged, "--", path).split()
    return [version for commit in commits for version in versions_in(_git("show", f"{commit}:{path}"))]


def record() -> Version:
    """Write down the version that is due."""
    found = versions_in(FILE.read_text(encoding="utf-8"))
    # At once, since the imports of a file with the marks of a conflict cannot be read.
    FILE.write_text(text_of(max(found)), encoding="utf-8")
    version = due(max(found), digest(manager_sources()), committed_versions())
    FILE.write_text(text_of(version), encoding="utf-8")
    return version


def _plain(value: Any) -> Any:
    """A syntax tree as lists, without docstrings, positions, and what only some Pythons put into it."""
    if isinstance(value, ast.AST):
        fields = [(name, _plain(field)) for name, field in ast.iter_fields(value)]
        return [type(value).__name__, *[field for field in fields if field[1] not in ("None", [])]]
    if isinstance(value, list):
        return [_plain(item) for item in value if not _is_without_effect(item)]
    return repr(value)


def _is_without_effect(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _parse(text: str) -> ast.Module:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            # Python 3.12 ends some f-strings with an empty part.
            node.values = [part for part in node.values if getattr(part, "value", None) != ""]
    return tree


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Record the version of the task manager's code.")
    parser.add_argument("--record", action="store_true", required=True, help="write it into the file")
    parser.parse_args()
    print(f"{FILE.relative_to(ROOT)}: {record()}")
