"""A PostgreSQL server of the tests' own, where its programs are installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from tests import temporary

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


class Databases:
    """Databases of one server, used again: making one takes far longer than emptying it."""

    def __init__(self, server_url: str):
        self._server_url = server_url
        self._names: list[str] = []  # of all there are
        self._used = 0

    def new(self) -> str:
        """The URL of an empty database."""
        if self._used == len(self._names):
            self._names.append(f"tasks_{self._used}")
            execute(self._server_url, f"CREATE DATABASE {self._names[-1]}")
        self._used += 1
        return self._url(self._names[self._used - 1])

    def empty(self) -> None:
        """Take back all that were given out, whoever is still connected to them."""
        for name in self._names[: self._used]:
            execute(self._server_url, f"ALTER DATABASE {name} RESET ALL")
            others = f"pg_stat_activity WHERE datname = '{name}'"
            execute(self._server_url, f"SELECT pg_terminate_backend(pid) FROM {others}")
            execute(self._url(name), "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        self._used = 0

    def _url(self, name: str) -> str:
        return self._server_url.replace("/postgres?", f"/{name}?")


def execute(url: str, *statements: str) -> None:
    """Each of these SQL statements by itself."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


@contextmanager
def run_postgres(bin_folder: Path) -> Iterator[Postgres]:
    """A new server, which must run at the end."""
    # Another user must reach it, and the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=temporary.root()))
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
