"""Paths, task ids and names of files that want to be something else."""

import http.client
import json
from contextlib import closing

import pytest

from serve_app.launcher import ROOT

TRAVERSALS = [
    "../tasks.db",
    "..%2ftasks.db",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "..%5c..%5ctasks.db",
    "..%c0%afetc%c0%afpasswd",
    "%2fetc%2fpasswd",
    "....//....//etc/passwd",
    "%00",
    "x%00.mp4",
    "%0d%0aX-Injected:%20yes",
    "%ff%fe",
    "%e2%80%aegnp.4pm",
    "x" * 4096,
    ".",
    "%2e",
    "*",
    "'%20or%20'1'='1",
]

NAMES = [
    "../../../../tmp/intruder",
    "..\\..\\intruder",
    "/etc/intruder",
    "C:\\intruder",
    "intruder\0.png",
    "x" * 4096,
    "\u202egnp.exe",
    ".",
    "..",
    "-rf",
    "$(touch intruder)",
    "con",
]


def get(service, path):
    """The answer to exactly this path: httpx would tidy it up."""
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


@pytest.mark.parametrize("name", TRAVERSALS, ids=lambda name: name[:24])
@pytest.mark.parametrize("route", ["/task/", "/download/", "/static-offline-docs/", "/"])
def test_no_path_leads_out_of_its_folder(service, route, name):
    status, headers, body = get(service, route + name)
    assert status in (400, 404), body
    assert json.loads(body)["error"]["type"] in ("task_not_found", "not_found", "bad_request")
    assert "x-injected" not in headers


def everything(folder):
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:24])
def test_no_name_of_an_upload_becomes_a_name_on_the_disk(service, astronaut_file, speech_file, name):
    files = {
        "reference_image": (name, astronaut_file.read_bytes()),
        "audio_file": (name, speech_file.read_bytes()),
    }
    before = everything(ROOT / "serve_app")
    response = service.http.post("/generate_video", files=files, data={"length": "2"})
    assert response.status_code == 200, response.text
    task_id = response.json()["task_id"]
    assert service.wait(task_id)["status"] == "completed"
    data = service.folder / "data"
    assert {path.name for path in data.joinpath("uploads", task_id).iterdir()} <= {
        "reference_image",
        "audio_file",
    }
    assert [path for path in data.rglob("*") if "intruder" in path.name or path.name == name] == []
    assert everything(ROOT / "serve_app") == before
    headers = service.http.get(f"/download/{task_id}").headers
    assert headers["content-disposition"] == f'attachment; filename="echomimic_{task_id}.mp4"'
