"""A PostgreSQL server of the tests' own, where its programs are installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# PostgreSQL refuses to run as root; Debian's package brings this user.
_USER = "postgres" if hasattr(os, "getuid") and os.getuid() == 0 else None

# Nothing here needs to survive a power cut.
_OPTIONS = "-c fsync=off -c listen_addresses="


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, or None where they are not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@contextmanager
def run_postgres(bin_folder: Path) -> Iterator[str]:
    """A new server that listens on a socket in its own folder; yields the URL of its first database."""
    # Another user must reach it, and the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    if _USER:
        shutil.chown(folder, _USER)
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        command = [str(bin_folder / program), "-D", str(data), *arguments]
        with (folder.parent / f"{folder.name}.log").open("a") as log:
            subprocess.run(command, user=_USER, cwd=folder, stdout=log, stderr=log, check=True)

    try:
        run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        run("pg_ctl", "start", "--wait", "-o", f"{_OPTIONS} -k {folder}")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "--wait", "--mode=immediate")
    finally:
        shutil.rmtree(folder)
        (folder.parent / f"{folder.name}.log").unlink()
