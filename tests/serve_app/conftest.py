"""A task journal on each database that can keep one, and somebody who receives webhooks."""

import itertools
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa

from serve_app.task_store import TaskStore
from tests.fuzz.images import hostile_images
from tests.postgres import programs, run_postgres

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of our own."""
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    with run_postgres(bin_folder) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One after the other, the URL of an empty SQLite file and of an empty PostgreSQL database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'below' / 'tasks.db'}"
    return _new_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(journal_url: str) -> Iterator[TaskStore]:
    store = TaskStore(journal_url)
    yield store
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    if not hasattr(os, "getuid") or os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(scope="session")
def slow_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that takes all the processor time it gets, until it is refused."""
    path = tmp_path_factory.mktemp("portraits") / "slow.jpg"
    path.write_bytes(next(file.content for file in hostile_images() if "processor busy" in file.name))
    return path


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent; /moved redirects, /broken fails."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((self.path, headers, body))
        status = {"/moved": 302, "/broken": 500}.get(self.path, 204)
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/there")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.received = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _new_database(server_url: str) -> str:
    name = f"tasks_{next(_numbers)}"
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server_url.replace("/postgres?", f"/{name}?")
