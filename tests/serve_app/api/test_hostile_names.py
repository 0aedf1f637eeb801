"""Paths, task ids and names of files that want to be something else."""

import json

import pytest

from serve_app.launcher import ROOT
from tests.serve_app.hostile_paths import FOLDERS, TRAVERSALS, get

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


@pytest.mark.parametrize("name", TRAVERSALS, ids=lambda name: name[:24])
@pytest.mark.parametrize("route", FOLDERS)
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
