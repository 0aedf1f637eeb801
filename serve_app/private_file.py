"""Small files that only their owner may read, whole or not there at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Write the file, mode 0600; a reader sees the old content or the new."""
    with _temporary(path, content) as temporary:
        os.replace(temporary, path)


def create(path: Path, content: bytes) -> bytes:
    """Write the file, mode 0600, unless it is there; returns what it holds.

    Of several processes that create it at the same time, all return what one of them wrote.
    """
    # A full disk has no room for the temporary file of one that need not be written.
    if not path.exists():
        with _temporary(path, content) as temporary, contextlib.suppress(FileExistsError):
            # A link, unlike a file opened for writing, appears with its content.
            os.link(temporary, path)
    return path.read_bytes()


@contextlib.contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
