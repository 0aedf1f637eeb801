"""Folders whose names survive a power cut."""

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Create a folder with those above it, unless they are there; each is safely in its own."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk; on Windows folders cannot be opened, and need not be."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
