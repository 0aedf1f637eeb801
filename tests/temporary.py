"""Where the files of the tests lie: in memory, if there is room."""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")

# The tests use some hundred MiB; a container often gets 64 MiB, and Ray wants some of it.
_ROOM = 4 * 2**30


def root() -> Path:
    """A folder in memory, where no write waits for a disk; else the system's temporary folder."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        return _MEMORY
    return Path(tempfile.gettempdir())
