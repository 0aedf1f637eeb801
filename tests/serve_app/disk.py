"""A disk without room."""

import contextlib
from pathlib import Path

from models.notices import Notice
from serve_app.tasks.journal import Journal
from tests.serve_app.new_tasks import new_task


def fill(disk: Path) -> Path:
    """Write a file until the disk is full; returns its path."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def write_much(journal: Journal) -> None:
    """More than what a database has set aside on a full disk."""
    for number in range(1000):
        journal.add(new_task(f"task {number}", error=Notice.of("text", text="x" * 1000)))
