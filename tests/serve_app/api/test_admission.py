"""A form that finds no room on the disk is refused as such."""

import tempfile
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, UploadFile
from fastapi.testclient import TestClient

from serve_app.api.admission import AdmittedRoute
from serve_app.api.error_responses import install_error_handlers

MEBIBYTE = 1024 * 1024


class OpenDoor:
    """Admits everybody."""

    @asynccontextmanager
    async def admit(self, _caller, _idempotency_key):
        yield


@pytest.fixture
def client():
    """A service with one route, which answers with the size of a file."""
    app = FastAPI()
    install_error_handlers(app)
    app.state.service = SimpleNamespace(submissions=OpenDoor())
    app.router.route_class = AdmittedRoute

    @app.post("/size")
    async def size(file: UploadFile) -> int:
        return len(await file.read())

    with TestClient(app) as client:
        yield client


def test_a_file_that_finds_room_is_read(client):
    assert client.post("/size", files={"file": bytes(2 * MEBIBYTE)}).json() == 2 * MEBIBYTE


def test_a_full_folder_for_temporary_files_is_507(client, small_disk, monkeypatch):
    # Starlette keeps a file of more than one MiB there while it reads the form.
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    answer = client.post("/size", files={"file": bytes(3 * MEBIBYTE)})
    assert (answer.status_code, answer.json()["error"]["type"]) == (507, "storage_full")


def test_a_form_that_cannot_be_read_stays_the_client_s_fault(client):
    headers = {"Content-Type": "multipart/form-data"}
    assert client.post("/size", content=b"no form at all", headers=headers).status_code == 400
