"""A copy of the service's code that can be changed while the service runs."""

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from serve_app.launcher import CONFIG, ROOT

_PACKAGES = ("serve_app", "models")
_MANAGER = "serve_app/tasks/code_version.py"


class NotInHistory(Exception):
    """The clone's history does not reach back to a commit."""


class Release:
    """The code and its configuration in a folder of their own, which are upgraded in place as a user does.

    Args:
        folder: where the copy goes; must not exist.
        commit: which one to take, instead of the working tree.

    Raises:
        NotInHistory: the repository lacks that commit.
    """

    def __init__(self, folder: Path, commit: str | None = None):
        self.folder = folder
        if commit is None:
            self._copy_working_tree()
        else:
            folder.mkdir()
            self._unpack(commit)

    @property
    def config(self) -> Path:
        """What `serve run` starts."""
        return self.folder / CONFIG.name

    def upgrade(self) -> None:
        """Put the working tree in this release's place."""
        for package in _PACKAGES:
            shutil.rmtree(self.folder / package)
        self._copy_working_tree()

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

    def _copy_working_tree(self) -> None:
        for package in _PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, self.folder / package, ignore=ignored)
        shutil.copy(CONFIG, self.config)

    def _unpack(self, commit: str) -> None:
        command = ["git", "-C", str(ROOT), "archive", commit, *_PACKAGES, CONFIG.name]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            raise NotInHistory(f"commit {commit}: {done.stderr.decode().strip()}")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(self.folder, filter="data")
