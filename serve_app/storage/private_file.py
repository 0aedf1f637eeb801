"""Small files that only their owner may read; complete or not there at all, even after a power cut."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from serve_app.storage.durable import make_folder, sync_folder


def replace(path: Path, content: bytes) -> None:
    """Write a file with mode 0600; readers see the old content or the new.

    It keeps its owner if permitted: root may change a file that a service of another user reads.
    """
    with _temporary(path, content) as temporary:
        if path.exists():
            _give_to_owner_of(path, temporary)
        os.replace(temporary, path)
    sync_folder(path.parent)


def create(path: Path, content: bytes) -> bytes:
    """Write a file with mode 0600 unless it exists; returns its content.

    If several processes create it at the same time, all return the content that one of them wrote.
    """
    # Checked first, because a full disk has no room for the temporary file.
    if not path.exists():
        with _temporary(path, content) as temporary, contextlib.suppress(FileExistsError):
            # A link appears with its content, unlike a file that is opened for writing.
            os.link(temporary, path)
        sync_folder(path.parent)
    return path.read_bytes()


def _give_to_owner_of(path: Path, file: Path) -> None:
    if hasattr(os, "chown"):
        status = path.stat()
        with contextlib.suppress(OSError):
            os.chown(file, status.st_uid, status.st_gid)


@contextlib.contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
