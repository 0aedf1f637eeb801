"""A copy of the service's code that can be changed while the service runs."""

import re
import shutil
from pathlib import Path

from serve_app.launcher import ROOT

_PACKAGES = ("serve_app", "models")
_MANAGER = "serve_app/tasks/actor.py"


class Release:
    """The code in a folder of its own, which is upgraded in place as a user does.

    Args:
        folder: where the copy goes; must not exist.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        for package in _PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, folder / package, ignore=ignored)

    def replace(self, path: str, old: str, new: str) -> None:
        """Change a file of the copy.

        Raises:
            ValueError: the text to be replaced is not there exactly once.
        """
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{path}: expected {old!r} once, found it {text.count(old)} times")
        file.write_text(text.replace(old, new), encoding="utf-8")

    def raise_code_version(self) -> int:
        """What every release with a changed task manager does; returns the new version."""
        text = (self.folder / _MANAGER).read_text(encoding="utf-8")
        versions = re.findall(r"^CODE_VERSION = (\d+)$", text, flags=re.MULTILINE)
        if len(versions) != 1:
            raise ValueError(f"{_MANAGER}: expected one CODE_VERSION, found {versions}")
        version = int(versions[0])
        self.replace(_MANAGER, f"\nCODE_VERSION = {version}\n", f"\nCODE_VERSION = {version + 1}\n")
        return version + 1
