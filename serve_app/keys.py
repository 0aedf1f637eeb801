"""The command line for API keys: python -m serve_app.keys add NAME"""

import argparse
import sys
from pathlib import Path

from serve_app.access.api_keys import KeyFile
from serve_app.errors import ConfigError
from serve_app.launcher import CONFIG, configured


def main() -> int:
    """Add, list or revoke keys; returns the exit status."""
    arguments = _parse_arguments()
    try:
        _run(arguments, KeyFile(arguments.file or _configured_file()))
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Manage the API keys of the service.")
    parser.add_argument("--file", type=Path, help=f"file of keys; by default the one in {CONFIG.name}")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="create a key and print it, once")
    add.add_argument("name", help="who will hold it; its tasks belong to this name")
    add.add_argument("--admin", action="store_true", help="let it see the tasks of all keys")
    commands.add_parser("list", help="print the names")
    revoke = commands.add_parser("revoke", help="revoke a key, with immediate effect")
    revoke.add_argument("name")
    return parser.parse_args()


def _run(arguments: argparse.Namespace, file: KeyFile) -> None:
    if arguments.command == "add":
        print(file.add(arguments.name, admin=arguments.admin))
        print("Keep it: it is stored as a hash and cannot be shown again.", file=sys.stderr)
    elif arguments.command == "revoke":
        file.revoke(arguments.name)
    else:
        for key in file.read():
            print(f"{key.name:24} {key.created_at:%Y-%m-%d %H:%M} {'admin' if key.admin else ''}".rstrip())


def _configured_file() -> Path:
    for settings in configured():
        if settings.api_keys:
            return settings.api_keys
    raise ConfigError(f"{CONFIG.name} sets no api_keys; set it below args, or name a file with --file")


if __name__ == "__main__":
    sys.exit(main())
