"""The whole product in one command: serve, make a video, keep serving: python -m serve_app.demo"""

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from serve_app.client import DEFAULT_URL, ClientError, EchoMimicClient, ProgressDisplay, make_video, summary
from serve_app.errors import ConfigError
from serve_app.launcher import ROOT, check, command, environment
from serve_app.process_tree import raise_on_termination, running

SPEECH = ROOT / "examples" / "hello.wav"
VIDEO = ROOT / "output" / "demo.mp4"
LOG = ROOT / "output" / "demo.log"

_READY_TIMEOUT_S = 180


class DemoError(Exception):
    """The demo cannot continue; the message says what to do about it."""


def main() -> int:
    """Run the demo; returns the exit status."""
    arguments = _parse_arguments()
    # However this process is stopped, everything it started must end with it.
    raise_on_termination()
    try:
        with tempfile.TemporaryDirectory() as folder, service():
            image = arguments.image or _astronaut(Path(folder))
            with EchoMimicClient() as client:
                task = make_video(client, image, arguments.audio, arguments.out)
            print(summary(task, arguments.out.absolute()))
            # Flushed because of the pause: the output may go through a pipe.
            print(
                f"Serving on {DEFAULT_URL} (API documentation: {DEFAULT_URL}/docs). Ctrl-C ends it.",
                flush=True,
            )
            signal.pause()
    except KeyboardInterrupt:
        print("\nEnded.")
    except (DemoError, ConfigError, ClientError, httpx.HTTPError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def service() -> Iterator[None]:
    """The service on its default port, ready; everything it started has ended afterwards.

    Raises:
        ConfigError: serve_config.yaml has a wrong argument.
        DemoError: the port is taken, or the service ended or did not become ready.
    """
    check()
    _check_port_is_free()
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("w") as log, running(command(), ROOT, environment(), log) as process:
        _wait_until_ready(process)
        yield


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Start the service and make one video.")
    parser.add_argument("--image", type=_path, help="a portrait; by default scikit-image's astronaut")
    parser.add_argument("--audio", type=_path, default=SPEECH, help="the speech (%(default)s)")
    parser.add_argument("--out", type=_path, default=VIDEO, help="where to save the MP4 (%(default)s)")
    arguments = parser.parse_args()
    for path in filter(None, (arguments.image, arguments.audio)):
        if not path.is_file():
            parser.error(f"there is no file {path}")
    if not arguments.out.absolute().parent.is_dir() and arguments.out != VIDEO:
        parser.error(f"there is no folder {arguments.out.absolute().parent}")
    return arguments


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _astronaut(folder: Path) -> Path:
    """The portrait that scikit-image ships: Eileen Collins, photographed by NASA, public domain."""
    from PIL import Image
    from skimage import data

    path = folder / "astronaut.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


def _check_port_is_free() -> None:
    address = urlsplit(DEFAULT_URL)
    with socket.socket() as probe:
        if probe.connect_ex((address.hostname or "", address.port or 0)) == 0:
            raise DemoError(f"another program already listens on {DEFAULT_URL}; stop it first")


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    reason = "it does not respond yet"
    with EchoMimicClient() as client, ProgressDisplay("{desc} {elapsed}") as display:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DemoError(f"the service ended while starting; its log: {LOG}")
            try:
                health = client.health()
                if health.ready:
                    return
                reason = health.reason or reason
            except (httpx.TransportError, ClientError):
                pass
            display.show(f"Starting the service ({reason})")
            time.sleep(0.5)
    raise DemoError(f"the service is not ready after {_READY_TIMEOUT_S} s: {reason}; its log: {LOG}")


if __name__ == "__main__":
    sys.exit(main())
