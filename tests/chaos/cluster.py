"""The service on a Ray cluster of several nodes on this machine."""

import json
import random
import re
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from serve_app.launcher import ROOT
from tests.chaos import processes
from tests.chaos.release import Release
from tests.service import free_port, poll

ENGINE = "ServeReplica:echomimic:Preview"
INGRESS = "ServeReplica:echomimic:Ingress"
MANAGER = "TaskManagerActor"
CONTROLLER = "ServeController"
PROXY = "ProxyActor"

# Short, so that a round is: an operator waits 15 s for a lease and 5 min for a thread that stands still.
LEASE_S = 4.0
STALL_TIMEOUT_S = 8.0

REPLICAS = 2  # of the engine, at most


_READY_TIMEOUT_S = 180
_END_TIMEOUT_S = 60
_BIN = Path(sys.executable).parent


# What an engine's ffmpeg writes.
_OUTPUT = re.compile(r"([0-9a-f-]{36})/attempt-(\d+)\.mp4")


@dataclass(frozen=True)
class Attempt:
    """A replica in the middle of a video, its ffmpeg, and what that writes."""

    replica: psutil.Process
    encoder: psutil.Process
    task_id: str
    number: int


class Cluster:
    """Head, worker nodes and `serve run`, as often as they are stopped and started.

    Args:
        folder: everything of this run lies below it; its path must be short, for Ray's sockets.
        release: the code that is served.
        nodes: how many, with the head; a divisor of `REPLICAS`.
        by_path: whether PYTHONPATH leads to the code, and not the folder in which `serve run` is started: all
            processes of Serve keep that one.
        arguments: more for the builder of the application.
    """

    def __init__(
        self, folder: Path, release: Release, nodes: int, *, by_path: bool = False, **arguments: Any
    ):
        self.folder = folder
        self.data = folder / "data"
        self.url = f"http://127.0.0.1:{_lasting_port()}"
        self.release = release
        self._by_path = by_path
        self._arguments = arguments
        self._node_count = nodes
        # Each replica takes a GPU, which is there in Ray's books only; so the nodes have as many each.
        self._resources = {"num_cpus": 2, "num_gpus": REPLICAS // nodes, "object_store_memory": 100_000_000}
        self._deployments = 0
        self._serving: list[psutil.Popen] = []
        self._nodes: list[psutil.Popen] = []  # the head first

    def start(self) -> None:
        """Start everything; returns when the service is ready."""
        self._address = f"127.0.0.1:{free_port()}"
        port = self._address.rpartition(":")[2]
        client_port = f"--ray-client-server-port={free_port()}"
        command = [str(_BIN / "ray"), "start", "--head", f"--port={port}", client_port, "--block"]
        command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--disable-usage-stats"]
        command += [f"--{name.replace('_', '-')}={amount}" for name, amount in self._resources.items()]
        self._start_node(command)
        for _ in range(self._node_count - 1):
            self.add_node()
        self._serve("--blocking")
        assert self.wait_until_ready(), (self.folder / "serve.log").read_text()[-3000:]

    def add_node(self) -> None:
        """Have another worker node join."""
        command = [sys.executable, "-m", "tests.chaos.node", self._address, json.dumps(self._resources)]
        self._start_node(command)

    def redeploy(self) -> None:
        """Upgrade the code in place and deploy it on the living cluster, with a raised manager version."""
        self.release.raise_code_version()
        self.deploy()

    def deploy(self) -> None:
        """Deploy the release on the living cluster; returns at once."""
        self._serve("--non-blocking")

    def wait_until_ready(self, patience_s: float = _READY_TIMEOUT_S) -> bool:
        """Whether the service says, within this time, that it is ready for tasks."""
        try:
            return poll(self._ready, patience_s)
        except AssertionError:
            return False

    def find(self, name: str) -> list[psutil.Process]:
        """The processes of this cluster with this name, waiting until there is one."""
        return poll(lambda: processes.named(name, processes.family(*self._started())), _READY_TIMEOUT_S)

    def attempts(self) -> list[Attempt]:
        """What the engines are at."""
        found = []
        for replica in processes.named(ENGINE, processes.family(*self._started())):
            for encoder in processes.descendants(replica):
                output = _OUTPUT.search(processes.title(encoder))
                if output:
                    found.append(Attempt(replica, encoder, output[1], int(output[2])))
        return found

    def kill_node(self) -> None:
        """A worker node loses its power."""
        processes.kill(processes.family(self._nodes.pop()))

    def interrupt(self) -> None:
        """Ctrl-C to `serve run`, and when that has ended, to the nodes.

        Raises:
            AssertionError: a process is still there after a minute.
        """
        self._end(self._serving, signal.SIGINT)
        self._end(self._nodes, signal.SIGINT)
        self.kill()

    def terminate(self) -> None:
        """SIGTERM to everything at once.

        Raises:
            AssertionError: a process is still there after a minute.
        """
        self._end(self._started(), signal.SIGTERM)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to everything that runs."""
        processes.kill(processes.family(*self._started()))
        self._serving, self._nodes = [], []

    def _end(self, started: list[psutil.Popen], number: signal.Signals) -> None:
        members = processes.family(*started)
        for process in started:
            if process.poll() is None:
                process.send_signal(number)
        _, alive = psutil.wait_procs(members, timeout=_END_TIMEOUT_S)
        processes.kill(alive)
        assert not alive, f"still there {_END_TIMEOUT_S} s after {number.name}: {alive}"

    def _started(self) -> list[psutil.Popen]:
        return [*self._serving, *self._nodes]

    def _start_node(self, command: list[str]) -> None:
        """Returns when it runs."""
        log = self.folder / f"node-{len(self._nodes)}.log"
        log.unlink(missing_ok=True)
        process = self._start(command, log, ROOT)
        self._nodes.append(process)
        poll(lambda: "Ray runtime started" in log.read_text() or _must_run(process, log), _READY_TIMEOUT_S)

    def _serve(self, blocking: str) -> None:
        config = self.folder / "serve_config.yaml"
        config.write_text(yaml.safe_dump(self._config()))
        command = [str(_BIN / "serve"), "run", blocking, "--address", self._address, str(config)]
        # Ray's workers import what lies in this folder.
        cwd = self.folder if self._by_path else self.release.folder
        self._serving.append(self._start(command, self.folder / "serve.log", cwd))

    def _start(self, command: list[str], log: Path, cwd: Path) -> psutil.Popen:
        environment = {"RAY_TMPDIR": str(self.folder), "RAY_ADDRESS": "", "PYTHONDONTWRITEBYTECODE": "1"}
        return processes.start(command, log, cwd, environment)

    def _config(self) -> dict:
        """The release's configuration with one replica a node and short times; each deployment differs."""
        config = yaml.safe_load(self.release.config.read_text(encoding="utf-8"))
        config["http_options"]["port"] = int(self.url.rpartition(":")[2])
        application = config["applications"][0]
        self._deployments += 1
        # Serve replaces what runs when the environment differs, as it does for a new image.
        application["runtime_env"]["env_vars"]["DEPLOYMENT"] = str(self._deployments)
        if self._by_path:
            for part in (application, config["controller_options"]):
                part["runtime_env"]["env_vars"]["PYTHONPATH"] = str(self.release.folder)
        application["args"] |= {
            "engine": "preview",
            "data_dir": str(self.data),
            "lease_s": LEASE_S,
            "stall_timeout_s": STALL_TIMEOUT_S,
            "preview": {"num_gpus": 1, "num_cpus": 0.1, "max_replicas": REPLICAS},
            **self._arguments,
        }
        return config

    def _ready(self) -> bool:
        try:
            response = httpx.get(f"{self.url}/health", timeout=5)
        except httpx.TransportError:
            return False
        return response.status_code == 200 and response.json()["ready"]


def _lasting_port() -> int:
    """A port that nobody takes while the service is down: those of Ray, and of any client, lie elsewhere."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def _must_run(process: psutil.Popen, log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-3000:]
    return False
