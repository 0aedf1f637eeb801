"""Starts the service as `serve run serve_config.yaml` does, but private: python -m serve_app.launcher"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from serve_app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "serve_config.yaml"

# Ray's ports run any code they are sent: keep every component on the loopback interface (by the name
# of a switch that was made for other systems). And send no usage statistics.
PRIVACY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


class ConfigError(Exception):
    """The configuration cannot be served; the message names the argument."""


def command(config: Path = CONFIG) -> list[str]:
    """What starts the service in the foreground, on a Ray cluster of its own that ends with it."""
    serve = shutil.which("serve", path=str(Path(sys.executable).parent)) or "serve"
    return [serve, "run", "--address", "local", str(config)]


def environment() -> Mapping[str, str]:
    """The environment to start it in; what the user has set wins."""
    return {**PRIVACY, **os.environ}


def check(config: Path = CONFIG) -> None:
    """Look at the arguments of the configuration before anything starts.

    `serve run` itself would only log what is wrong with them, and stay.

    Raises:
        ConfigError: an argument is unknown or out of range.
    """
    for application in yaml.safe_load(config.read_text(encoding="utf-8"))["applications"]:
        try:
            Settings.model_validate(application.get("args", {}))
        except ValidationError as error:
            raise ConfigError(f"{config.name}: {error}") from error


def main() -> int:
    """Serve until Ctrl-C; returns the exit status."""
    try:
        check()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Also where we were started with Ctrl-C ignored, as shells do in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command(), cwd=ROOT, env=environment())
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has told the child as well; it ends Serve and its cluster.
            continue


if __name__ == "__main__":
    sys.exit(main())
