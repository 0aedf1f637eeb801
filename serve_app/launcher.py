"""Starts the service like `serve run serve_config.yaml`, keeps Ray's ports private, and ends within 10 s.

python -m serve_app.launcher [CONFIG]
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from serve_app.access.api_keys import KeyFile
from serve_app.access.exposure import check_exposure
from serve_app.engines.registry import check_engine
from serve_app.errors import ConfigError
from serve_app.process_tree import raise_on_termination, running, wait
from serve_app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "serve_config.yaml"

# Ray's ports run any code they are sent: keep every component on the loopback interface. (The variable is
# named after other systems, but works on all.) And send no usage statistics.
PRIVACY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


# Where Serve listens if a configuration does not say.
SERVE_HOST = "0.0.0.0"


def command(config: Path = CONFIG) -> list[str]:
    """The command that serves in the foreground, on its own Ray cluster, which ends with it."""
    serve = shutil.which("serve", path=str(Path(sys.executable).parent)) or "serve"
    return [serve, "run", "--address", "local", str(config)]


def environment() -> Mapping[str, str]:
    """The environment to start it in; variables that the user has set win."""
    return {**PRIVACY, **os.environ}


def check(config: Path = CONFIG) -> None:
    """Check the configuration before anything starts.

    `serve run` itself would only log what is wrong, and keep running.

    Raises:
        ConfigError: an argument is unknown or out of range; `engine` names no engine; the file of API keys
            cannot be read; other machines could use the service without a key.
    """
    options = _read(config).get("http_options") or {}
    for settings in configured(config):
        check_engine(settings)
        check_exposure(settings, options.get("host", SERVE_HOST))
        if settings.api_keys:
            KeyFile(settings.api_keys).read()


def configured(config: Path = CONFIG) -> Iterator[Settings]:
    """The builder's arguments of each application.

    Raises:
        ConfigError: an argument is unknown or out of range.
    """
    for application in _read(config)["applications"]:
        try:
            yield Settings.model_validate(application.get("args", {}))
        except ValidationError as error:
            raise ConfigError(f"{config.name}: {error}") from error


def main() -> int:
    """Serve until asked to end; returns the exit status."""
    config = _parse_arguments().config
    raise_on_termination()
    try:
        check(config)
        with running(command(config), ROOT, environment()) as process:
            return wait(process)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve until Ctrl-C.")
    parser.add_argument(
        "config", type=Path, nargs="?", default=CONFIG, help="the configuration (serve_config.yaml)"
    )
    arguments = parser.parse_args()
    # Serve runs in another folder.
    arguments.config = arguments.config.absolute()
    if not arguments.config.is_file():
        parser.error(f"there is no file {arguments.config}")
    return arguments


def _read(config: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    return document


if __name__ == "__main__":
    sys.exit(main())
