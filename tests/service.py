"""The service as its users start it: `serve run` on a configuration, on a Ray cluster of the test's own."""

import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from serve_app.launcher import CONFIG, PRIVACY, ROOT

# Ray reads these when it is imported, also in the process of the tests.
os.environ.update(PRIVACY)
# `ray start` would write a token to the home folder, which other clusters then stumble over.
os.environ["RAY_AUTH_MODE"] = "disabled"

# Children inherit an ignored Ctrl-C, as shells set it for what runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

# In which the launcher and the demo end everything they have started.
PROMISED_END_S = 10

_START_TIMEOUT_S = 180
_END_TIMEOUT_S = 60
_BIN = Path(sys.executable).parent

# Unix sockets lie below it, and must have short paths.
_RAY_FOLDER = Path("/tmp/echomimic-tests")


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """A running service, and what a test may do to it."""

    def __init__(self, process: psutil.Popen, port: int, folder: Path, temporary: Path):
        self.process = process
        self.port = port
        self.folder = folder
        self.temporary = temporary  # what its processes use for temporary files
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def close(self) -> None:
        """Close the connections; the service runs on."""
        self.http.close()

    def submit(self, image: Path, audio: Path, **fields: Any) -> str:
        """Send both files; returns the task's id."""
        with image.open("rb") as image_file, audio.open("rb") as audio_file:
            files = {"reference_image": image_file, "audio_file": audio_file}
            response = self.http.post("/generate_video", files=files, data=fields)
        assert response.status_code == 200, response.text
        return response.json()["task_id"]

    def keep_an_ingress_busy(self, slow_image: Path, audio: Path) -> None:
        """Send a slow image; when this returns, it is being decoded."""

        def send() -> None:
            with contextlib.suppress(httpx.TransportError, AssertionError):
                self.submit(slow_image, audio)

        threading.Thread(target=send, daemon=True).start()
        poll(lambda: self.processes("image_decoder"))

    def task(self, task_id: str) -> dict[str, Any]:
        """What `GET /task/{task_id}` answers."""
        return self.http.get(f"/task/{task_id}").json()

    def wait(self, task_id: str, *statuses: str) -> dict[str, Any]:
        """Poll until the task has one of these statuses; by default a final one."""
        return self.wait_for(task_id, lambda task: task["status"] in (statuses or ("completed", "failed")))

    def wait_for(self, task_id: str, condition: Any) -> dict[str, Any]:
        """Poll until the condition holds for the task."""
        return poll(lambda: task if condition(task := self.task(task_id)) else None)

    def processes(self, name: str) -> list[psutil.Process]:
        """The Ray processes of this cluster whose title contains this name."""
        found = []
        for process in self.process.children(recursive=True):
            try:
                if name in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found


def poll(probe: Any, timeout_s: float = 120, interval_s: float = 0.1) -> Any:
    """The first true value the probe returns; fails the test after the timeout."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = probe()
        if value:
            return value
        time.sleep(interval_s)
    raise AssertionError(f"nothing after {timeout_s} s; the last look gave {value!r}")


@contextmanager
def run_service(
    folder: Path,
    *,
    address: str = "local",
    host: str = "127.0.0.1",
    until_ready: bool = True,
    end_timeout_s: float = _END_TIMEOUT_S,
    **args: Any,
) -> Iterator[Service]:
    """`serve run` with the shipped configuration, these builder arguments and a free port.

    Everything that was started is gone afterwards, in this time after Ctrl-C.
    """
    port = free_port()
    command = [str(_BIN / "serve"), "run", "--address", address]
    command.append(str(write_config(folder, {"host": host, "port": port}, **args)))
    log = folder / "serve.log"
    with (
        _temporary_folder() as temporary,
        started(command, log, end_timeout_s=end_timeout_s, TMPDIR=str(temporary)) as process,
    ):
        yield from _serving(Service(process, port, folder, temporary), until_ready)


@contextmanager
def run_launcher(
    folder: Path, ending: signal.Signals = signal.SIGINT, *, until_ready: bool = True, **args: Any
) -> Iterator[Service]:
    """The same as `make run` starts it; everything is gone in the promised time after this signal."""
    port = free_port()
    command = [sys.executable, "-m", "serve_app.launcher", str(write_config(folder, {"port": port}, **args))]
    log = folder / "serve.log"
    with (
        _temporary_folder() as temporary,
        started(command, log, ending, PROMISED_END_S, TMPDIR=str(temporary)) as process,
    ):
        yield from _serving(Service(process, port, folder, temporary), until_ready)


def write_config(folder: Path, http_options: dict[str, Any], **args: Any) -> Path:
    """The shipped configuration with these options and arguments, and a data folder of the test's own."""
    config = yaml.safe_load(CONFIG.read_text())
    config["http_options"] |= http_options
    # Whoever has the published weights still tests with the same engine.
    defaults = {"data_dir": str(folder / "data"), "echomimic": {"weights_dir": str(folder / "no_weights")}}
    config["applications"][0]["args"] |= {**defaults, **args}
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def started(
    command: list[str],
    log: Path,
    ending: signal.Signals = signal.SIGINT,
    end_timeout_s: float = _END_TIMEOUT_S,
    **variables: str,
) -> Iterator[psutil.Popen]:
    """A process with its descendants and these variables; they are asked to end, and killed if they don't."""
    environment = {**os.environ, "RAY_TMPDIR": str(_RAY_FOLDER), **variables}
    environment.pop("RAY_ADDRESS", None)
    _RAY_FOLDER.mkdir(exist_ok=True)
    with log.open("a") as output:
        process = psutil.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        end(process, ending, end_timeout_s)


def end(process: psutil.Popen, ending: signal.Signals, timeout_s: float) -> None:
    """Send the signal; what is left of the family after the timeout is killed, and fails the test."""
    assert process.is_running(), f"it ended by itself: {process.args}"
    family = [process, *process.children(recursive=True)]
    deadline = time.monotonic() + timeout_s
    process.send_signal(ending)
    while (alive := [member for member in family if lives(member)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for straggler in alive:
        straggler.kill()
    psutil.wait_procs(alive, timeout=10)
    assert not alive, f"still there {timeout_s} s after {ending.name}: {alive}"


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended; one that has stays in the books until its parent has heard of it."""
    if isinstance(process, psutil.Popen):
        return process.poll() is None
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    _RAY_FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_RAY_FOLDER) as folder:
        yield Path(folder)


def _serving(service: Service, until_ready: bool) -> Iterator[Service]:
    try:
        if until_ready:
            poll(lambda: _ready(service), _START_TIMEOUT_S)
        yield service
    finally:
        service.close()


def _ready(service: Service) -> bool:
    assert service.process.poll() is None, (service.folder / "serve.log").read_text()[-3000:]
    try:
        response = service.http.get("/health")
    except httpx.TransportError:
        return False
    return response.status_code == 200 and response.json()["ready"]
