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


class Postgres:
    """A server that listens on a socket in its own folder, and what a test may do to it."""

    def __init__(self, bin_folder: Path, folder: Path):
        self._bin_folder = bin_folder
        self._folder = folder
        # Of its first database.
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")

    def start(self) -> None:
        """Returns when it takes connections."""
        self._run("pg_ctl", "start", "--wait", "-o", f"{_OPTIONS} -k {self._folder}")

    def stop(self) -> None:
        """As if it had crashed: connections break."""
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin_folder / program), "-D", str(self._folder / "data"), *arguments]
        with self._folder.with_name(f"{self._folder.name}.log").open("a") as log:
            subprocess.run(command, user=_USER, cwd=self._folder, stdout=log, stderr=log, check=True)


@contextmanager
def run_postgres(bin_folder: Path) -> Iterator[Postgres]:
    """A new server, which must run at the end."""
    # Another user must reach it, and the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    if _USER:
        shutil.chown(folder, _USER)
    try:
        server = Postgres(bin_folder, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
        folder.with_name(f"{folder.name}.log").unlink()
