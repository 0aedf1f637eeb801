"""Starts the service as `serve run serve_config.yaml` does, but private: python -m serve_app.launcher"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "serve_config.yaml"

# Ray's ports run any code they are sent: keep every component on the loopback interface (by the name
# of a switch that was made for other systems). And send no usage statistics.
PRIVACY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


def command(config: Path = CONFIG) -> list[str]:
    """What starts the service in the foreground, on a Ray cluster of its own that ends with it."""
    serve = Path(sys.executable).with_name("serve")
    return [str(serve), "run", "--address", "local", str(config)]


def environment() -> Mapping[str, str]:
    """The environment to start it in; what the user has set wins."""
    return {**PRIVACY, **os.environ}


def main() -> int:
    """Serve until Ctrl-C."""
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
