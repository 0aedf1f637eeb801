"""What the documents say is true."""

import re
import shutil
import subprocess

import pytest
import yaml

from models.frame_rate import FrameRate
from models.notices import CATALOGUE
from serve_app import errors
from serve_app.api.form import GenerateVideoForm, allowed_values
from serve_app.app import build
from serve_app.launcher import CONFIG, ROOT
from serve_app.schemas import HealthResponse, TaskResponse
from serve_app.settings import EchoMimicSettings, EngineSettings, Settings
from tests.chaos.faults import FAULTS

README = (ROOT / "README.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]


def rows(page):
    """First cell of each table row: the names in backquotes."""
    cells = re.findall(r"^\| (`[^|]*) \|", page, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_every_setting_is_documented_with_its_default():
    documented = rows(SETTINGS)
    fields = {**EchoMimicSettings.model_fields, **EngineSettings.model_fields, **Settings.model_fields}
    assert documented == set(fields)
    for name, field in fields.items():
        if isinstance(field.default, int | float):
            default = str(field.default).lower()
            assert re.search(rf"^\| `{name}` \| {default} \|", SETTINGS, flags=re.MULTILINE), name


def test_every_field_of_requests_and_answers_is_documented():
    fields = {*GenerateVideoForm.model_fields, *TaskResponse.model_fields}
    assert fields <= rows(API)
    assert [
        name for name in HealthResponse.model_fields if f"`{name}`" not in API and name != "engines"
    ] == []


def test_the_documented_limits_are_those_of_the_form():
    for name, field in GenerateVideoForm.model_fields.items():
        if field.annotation in (int, float, FrameRate):
            row = next(line for line in API.splitlines() if f"`{name}`" in line).replace("−", "-")
            low, high = re.search(r"from (\S+) to ([^\s,]+)", allowed_values(name)).groups()
            assert f"{low} to {high}" in row, name
            assert f"| {field.default} |" in row, name


def test_every_notice_is_documented_with_its_values_and_its_sentence():
    documented = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", API, flags=re.MULTILINE)
    sentences = {code: (set(re.findall(r"\w+", values)), text) for code, values, text in documented}
    for code, template in CATALOGUE.items():
        values = set(re.findall(r"\{(\w+)", template.message + (template.allowed or ""))) - {"field"}
        assert sentences[code] == (values, re.sub(r"\{(\w+)[^}]*\}", r"{\1}", template.message)), code


def test_every_error_is_documented():
    kinds = {error.type for error in vars(errors).values() if hasattr(error, "type")}
    assert kinds <= set(re.findall(r"`([a-z_]+)`", API))


def test_every_module_has_its_line_in_the_architecture():
    def is_room(path):
        return path.parent.relative_to(ROOT).parts[:2] not in (("models", "preview"), ("models", "echomimic"))

    found = [path for package in ("models", "serve_app") for path in (ROOT / package).rglob("*.py")]
    for path in found:
        if path.stem == "__init__" or not is_room(path):
            continue
        room = path.parent.relative_to(ROOT).as_posix()
        heading, name = (
            ("serve_app/api", f"middleware/{path.stem}") if room.endswith("middleware") else (room, path.stem)
        )
        section = re.search(rf"^### `{heading}`$(.*?)^##", ARCHITECTURE, re.DOTALL | re.MULTILINE)
        assert section, f"docs/architecture.md has no section `{heading}`"
        assert name in rows(section[1]), path


def test_the_shipped_configuration_builds():
    arguments = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["applications"][0]["args"]
    assert build(Settings(**arguments))


def test_the_shipped_configuration_names_this_release():
    """Serve replaces the replicas of the release before only where the configuration differs."""
    application = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["applications"][0]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{application["runtime_env"]["env_vars"]["ECHOMIMIC_RELEASE"]}"\n' in project


def test_the_readme_names_targets_that_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets


def test_make_alone_lists_the_targets():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "run", "test", "chaos", "lint", "bench"):
        assert f"make {target} " in listed


def test_what_shows_that_a_promise_is_kept_exists():
    shown = re.findall(r"`([a-z_]+)`", "".join(re.findall(r"\| ([^|]*) \|$", RELIABILITY, re.MULTILINE)))
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    tests = set(re.findall(r"def (test_\w+)\(", "".join(sources)))
    assert [name for name in shown if name not in tests | set(FAULTS)] == []
    assert set(FAULTS) <= set(shown)


def test_the_readme_s_requests_work(service, tmp_path, astronaut_file, speech_file):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    submit, poll_task, download = re.search(r"## Use\n\n```\n(.*?)```", README, re.DOTALL)[1].splitlines()
    shutil.copy(astronaut_file, tmp_path / "portrait.jpg")
    shutil.copy(speech_file, tmp_path / "speech.wav")

    def run(command):
        command = command.replace("http://127.0.0.1:7688", service.url)
        return subprocess.run(
            command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    task_id = re.search(r'"task_id":"([^"]+)"', run(submit))[1]
    service.wait(task_id)
    assert '"status":"completed"' in run(poll_task.replace("TASK_ID", task_id))
    run(download.replace("TASK_ID", task_id))
    assert (tmp_path / "video.mp4").read_bytes()[4:8] == b"ftyp"
