"""A task journal on each database that can keep one, and somebody who receives webhooks."""

import contextlib
import itertools
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from serve_app.tasks.journal import Journal
from tests.fuzz.images import hostile_images
from tests.postgres import Databases, execute, programs, run_postgres
from tests.service import free_port, poll


@pytest.fixture(scope="session")
def ray_address(
    run_process: Callable[..., AbstractContextManager[psutil.Popen]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Where a Ray node with two GPUs listens, which are there in its books only.

    Services that are started on it, one after the other, need not wait for Ray.
    """
    log = tmp_path_factory.mktemp("ray") / "ray.log"
    port = free_port()
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-gpus=2"]
    command += [f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false"]
    command += [f"--ray-client-server-port={free_port()}", "--disable-usage-stats"]
    with run_process(command, log):
        poll(lambda: "runtime started" in log.read_text(), 60)
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs."""
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    return bin_folder


@pytest.fixture(scope="session")
def postgres_url(postgres_programs: Path) -> Iterator[str]:
    """A PostgreSQL server of our own."""
    with run_postgres(postgres_programs) as server:
        yield server.url


@pytest.fixture(scope="session")
def _databases(postgres_url: str) -> Databases:
    return Databases(postgres_url)


@pytest.fixture
def new_database(_databases: Databases) -> Iterator[Callable[[], str]]:
    """Gives the URL of an empty PostgreSQL database, as often as it is called."""
    yield _databases.new
    _databases.empty()


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One after the other, the URL of an empty SQLite file and of an empty PostgreSQL database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'below' / 'tasks.db'}"
    url: str = request.getfixturevalue("new_database")()
    return url


@pytest.fixture
def journal(journal_url: str) -> Iterator[Journal]:
    journal = Journal(journal_url)
    yield journal
    journal.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def small_journal_url(request: pytest.FixtureRequest, small_disk: Path) -> Iterator[str]:
    """One after the other, the URL of an empty journal of each kind on the small disk."""
    if request.param == "sqlite":
        yield f"sqlite:///{small_disk / 'tasks.db'}"
        return
    server_url, databases = (request.getfixturevalue(name) for name in ("postgres_url", "_databases"))
    shutil.chown(small_disk, "postgres")
    execute(server_url, f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    yield f"{databases.new()}&options=-cdefault_tablespace=small"
    databases.empty()
    execute(server_url, "DROP TABLESPACE small")


@pytest.fixture
def small_journal(small_journal_url: str) -> Iterator[Journal]:
    journal = Journal(small_journal_url)
    yield journal
    journal.close()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of made-up weights for EchoMimic's small sibling."""
    pytest.importorskip("torch")
    from benchmarks.layout import write_layout
    from benchmarks.rules import Rules
    from models.echomimic.networks.config import TINY

    folder = tmp_path_factory.mktemp("weights")
    write_layout(Rules().networks(TINY), folder)
    return folder


@pytest.fixture(scope="session")
def slow_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that takes all the processor time it gets, until it is refused."""
    path = tmp_path_factory.mktemp("portraits") / "slow.jpg"
    path.write_bytes(next(file.content for file in hostile_images() if "processor busy" in file.name))
    return path


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent; /moved redirects, /broken fails, /slow answers byte by byte and never ends."""

    server: "ReceiverServer"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((self.path, headers, body))
        if self.path == "/slow":
            self._drip()
            return
        status = {"/moved": 302, "/broken": 500}.get(self.path, 204)
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/there")
        self.end_headers()

    def _drip(self) -> None:
        with contextlib.suppress(OSError):
            for letter in itertools.chain(b"HTTP/1.1 204 No Content\r\nX-Slow: ", itertools.repeat(ord("x"))):
                self.wfile.write(bytes([letter]))
                time.sleep(0.05)

    def log_message(self, *_arguments: object) -> None:
        pass


class ReceiverServer(ThreadingHTTPServer):
    """Tells what was received: path, headers and body of each message."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def receiver() -> Iterator[ReceiverServer]:
    server = ReceiverServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
