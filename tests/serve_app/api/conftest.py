"""An API in the process of a test: its journal, its name server, a client that submits."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve_app.tasks.journal import Journal


@pytest.fixture
def sqlite_journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal of the kind that needs no server."""
    journal = Journal(f"sqlite:///{tmp_path / 'tasks.db'}")
    yield journal
    journal.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the name server says: name -> address."""
    known = {"hooks.example.org": "1.1.1.1"}

    def getaddrinfo(host: str, port: int, *_arguments: Any, **_options: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror("temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.fixture
def submit(astronaut_file: Path, speech_file: Path) -> Callable[..., httpx.Response]:
    """Sends the form with these fields."""

    def send(api: httpx.Client, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        files = {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}
        return api.post("/generate_video", files=files, data=fields, headers=headers)

    return send
