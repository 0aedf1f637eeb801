"""The script that prepares the environment finds a Python that fits, and says what to do when it cannot."""

import ast
import ensurepip
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import venv as venv_module
import zipfile
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from threading import Thread

import pytest

from scripts import bootstrap
from serve_app.launcher import ROOT

VERSION = ".".join(map(str, sys.version_info[:3]))


def program(folder, name, *lines):
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path, monkeypatch):
    """All that is on the PATH, but for what a shell needs."""
    folder = tmp_path / "path"
    folder.mkdir()
    for name in ("cat", "cp", "mkdir"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("PYTHON", raising=False)
    return folder


def python(folder, name, version):
    return program(folder, name, f"echo '{version}'")


@pytest.fixture
def running(tmp_path, monkeypatch):
    """Sets which version runs the script."""

    def run_by(version):
        monkeypatch.setattr(sys, "version_info", (*version, 1))
        monkeypatch.setattr(sys, "executable", str(python(tmp_path, "running", version)))
        return sys.executable

    return run_by


@pytest.mark.parametrize("version", [(3, 11), (3, 12)])
def test_a_fitting_python_that_runs_it_is_taken(version, running, path):
    ours = running(version)
    python(path, "python3.12", (3, 12))
    assert bootstrap.find_python() == ours


@pytest.mark.parametrize("version", [(2, 7), (3, 9), (3, 13), (3, 14)])
def test_else_the_newest_that_fits_on_the_path_is_taken(version, running, path):
    running(version)
    python(path, "python3.10", (3, 10))
    python(path, "python3.11", (3, 11))
    assert bootstrap.find_python() == "python3.11"


def test_the_diffusion_engine_has_python_3_10_taken_only_where_there_is_no_newer_one(running, path):
    ours = running((3, 10))
    assert bootstrap.find_python() == ours
    python(path, "python3.11", (3, 11))
    assert bootstrap.find_python() == "python3.11"


def test_a_name_on_the_path_that_leads_nowhere_is_passed_over(running, path):
    running((3, 13))
    program(path, "python3.12", "echo 'command not found' >&2", "exit 127")
    python(path, "python3.11", (3, 13))
    assert bootstrap.find_python() is None
    python(path, "python3.10", (3, 10))
    assert bootstrap.find_python() == "python3.10"


def test_the_python_that_is_named_wins(running, path, monkeypatch):
    ours = running((3, 10))
    python(path, "python3.12", (3, 12))
    monkeypatch.setenv("PYTHON", "python3.10")
    assert bootstrap.find_python() == ours


@pytest.mark.parametrize("version", [(2, 7), (3, 9), (3, 13)])
def test_a_named_python_that_does_not_fit_is_told(version, running, path, monkeypatch, capsys):
    running(version)
    monkeypatch.setenv("PYTHON", "mine")
    with pytest.raises(SystemExit) as stopped:
        bootstrap.find_python()
    assert stopped.value.code == 1
    told = capsys.readouterr().out
    assert "PYTHON=mine is Python {}.{}; 3.10, 3.11 or 3.12 is needed".format(*version) in told
    assert "需要 Python 3.10、3.11 或 3.12" in told


def test_where_none_fits_and_none_can_be_fetched_what_to_do_is_told(running, path, capsys):
    running((3, 13))
    program(path, "uv", "exit 1")
    program(path, "running")
    with pytest.raises(SystemExit) as stopped:
        bootstrap.fetch_python()
    assert stopped.value.code == 1
    told = capsys.readouterr().out
    assert "this is 3.13, and none could be downloaded" in told
    assert "make PYTHON=/path/to/python3.12" in told
    assert "请手动安装" in told


@contextmanager
def served(folder):
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def uv_wheel(folder):
    """The uv that is installed here, as the wheel it came as."""
    uv = metadata.distribution("uv")
    info = f"uv-{uv.version}.dist-info"
    with zipfile.ZipFile(folder / f"uv-{uv.version}-py3-none-any.whl", "w") as wheel:
        wheel.write(Path(sys.prefix, "bin", "uv"), f"uv-{uv.version}.data/scripts/uv")
        for name in ("METADATA", "WHEEL"):
            wheel.writestr(f"{info}/{name}", uv.read_text(name))
        wheel.writestr(f"{info}/RECORD", "")


def python_mirror(folder):
    """This Python as its builds for uv are packed, and the list that names it; returns the list."""
    archive = folder / "20240101" / "cpython-install_only.tar.gz"
    archive.parent.mkdir()
    unneeded = {"test", "site-packages", "__pycache__", "idlelib", "lib2to3", "tkinter"}

    def needed(member):
        return None if unneeded & set(Path(member.name).parts) or member.name.endswith(".a") else member

    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for part in ("bin", "lib"):
            tar.add(Path(sys.base_prefix, part), f"python/{part}", filter=needed)
    uv = Path(sys.prefix, "bin", "uv")
    listing = [str(uv), "python", "list", "--only-downloads", "--output-format", "json", "cpython"]
    like = json.loads(subprocess.check_output(listing))[0]
    major, minor, patch = sys.version_info[:3]
    build = {
        "os": like["os"],
        "libc": like["libc"],
        "name": "cpython",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "arch": {"family": like["arch"], "variant": None},
        "url": f"https://github.com/astral-sh/python-build-standalone/releases/download/20240101/{archive.name}",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
    }
    key = f"cpython-{VERSION}-{like['os']}-{like['arch']}-{like['libc']}"
    listed = folder / "downloads.json"
    listed.write_text(json.dumps({key: build}))
    return listed


@pytest.mark.skipif(
    sys.base_prefix == "/usr", reason="the system's Python cannot be packed as a build for uv"
)
def test_where_no_python_fits_uv_comes_from_the_index_and_a_python_from_its_mirror(
    tmp_path, path, monkeypatch
):
    wheels, mirror, pythons = (tmp_path / name for name in ("wheels", "mirror", "pythons"))
    wheels.mkdir()
    mirror.mkdir()
    uv_wheel(wheels)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(pythons))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", str(python_mirror(mirror)))
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(bootstrap, "FETCHED", VERSION)
    monkeypatch.setattr(bootstrap, "find_python", lambda: None)
    created = bootstrap.program(bootstrap.VENV, "python")
    with served(mirror) as url:
        monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", url)
        bootstrap.create_venv(created)

    base, pip = subprocess.check_output(
        [created, "-c", "import pip, sys; print(sys.base_prefix); print(pip.__file__)"], text=True
    ).splitlines()
    assert Path(base).is_relative_to(pythons)
    assert Path(pip).is_relative_to(bootstrap.VENV)
    assert not (tmp_path / ".local" / "bin").exists()


def test_where_debian_leaves_pip_out_it_comes_from_debians_package(tmp_path, path, monkeypatch):
    bundled = next(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
    program(path, "apt-get", '[ "$*" = "download --quiet python3-pip-whl" ] && echo > python3-pip-whl.deb')
    program(
        path, "dpkg-deb", 'wheels="$3/usr/share/python-wheels"', f"mkdir -p $wheels && cp {bundled} $wheels"
    )
    output = bootstrap.output
    monkeypatch.setattr(
        bootstrap,
        "output",
        lambda command, **options: None if "ensurepip" in command else output(command, **options),
    )
    folder = str(tmp_path / "venv")
    assert bootstrap.make_venv(sys.executable, folder)
    assert subprocess.check_output([bootstrap.program(folder, "python"), "-m", "pip", "--version"])


def test_where_pip_cannot_be_had_the_package_that_brings_it_is_told(path, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(bootstrap, "output", lambda command, **options: None)
    monkeypatch.setattr(bootstrap, "find_python", lambda: sys.executable)
    with pytest.raises(SystemExit):
        bootstrap.create_venv(bootstrap.program(bootstrap.VENV, "python"))
    assert "apt-get install -y python3-venv" in capsys.readouterr().out


@pytest.fixture
def venv(tmp_path, monkeypatch):
    """A .venv that is usable, and how often it was made."""
    folder = tmp_path / "venv"
    made: list[tuple] = []

    def make(*arguments):
        made.append(arguments)
        return True

    (folder / "bin").mkdir(parents=True)
    program(folder / "bin", "python")
    monkeypatch.setattr(bootstrap, "VENV", str(folder))
    monkeypatch.setattr(bootstrap, "find_python", lambda: "python3.12")
    monkeypatch.setattr(bootstrap, "make_venv", make)
    return folder, made


def test_an_environment_is_kept_once_it_is_complete(venv):
    folder, made = venv
    for _ in range(2):
        bootstrap.create_venv(str(folder / "bin" / "python"))
    assert made == [("python3.12", str(folder))]


@pytest.mark.parametrize(
    "damage", ["the release before made it", "its making was cut off", "its Python is gone"]
)
def test_an_environment_that_cannot_be_used_is_made_anew(venv, damage):
    folder, made = venv
    (folder / "complete").write_text(bootstrap.LAYOUT)
    if damage == "the release before made it":
        (folder / "complete").write_text("")
    elif damage == "its making was cut off":
        (folder / "complete").unlink()
    else:
        (folder / "bin" / "python").unlink()
    bootstrap.create_venv(str(folder / "bin" / "python"))
    assert len(made) == 1


@pytest.fixture
def installers(tmp_path, monkeypatch):
    """Notes which installers were called; those whose name is in `broken` fail."""
    called: list[str] = []
    broken: set[str] = set()

    def installer(name):
        def install(*_arguments):
            called.append(name)
            return name not in broken

        return install

    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path))
    monkeypatch.setattr(bootstrap, "install_uv", installer("uv itself"))
    monkeypatch.setattr(bootstrap, "install_with_uv", installer("uv"))
    monkeypatch.setattr(bootstrap, "run", installer("pip"))
    return called, broken


def test_what_is_installed_is_not_installed_again(installers):
    called, _ = installers
    bootstrap.install("python", "requirements-preview.txt")
    bootstrap.install("python", "requirements-preview.txt")
    assert called == ["uv itself", "uv"]


@pytest.mark.parametrize("failing", ["uv itself", "uv"])
def test_pip_installs_where_uv_cannot_and_that_is_told(failing, installers, capsys):
    called, broken = installers
    broken.add(failing)
    bootstrap.install("python", "requirements-preview.txt")
    assert called[-2:] == [failing, "pip"]
    assert "uv cannot install this, see above; trying pip" in capsys.readouterr().out


def test_what_uv_installs_is_compiled_whatever_the_environment_says(tmp_path, monkeypatch):
    venv_module.create(tmp_path / "venv", symlinks=True)
    (tmp_path / "venv" / "bin" / "uv").symlink_to(Path(sys.prefix, "bin", "uv"))
    with zipfile.ZipFile(tmp_path / "tiny-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(str(tmp_path / "tiny-1-py3-none-any.whl"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / "venv"))
    assert bootstrap.install_with_uv(bootstrap.program(bootstrap.VENV, "python"), str(requirements))
    assert list((tmp_path / "venv").rglob("tiny.*.pyc"))


def test_uv_is_told_what_pip_is_configured_to(tmp_path, monkeypatch):
    for variable in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(variable)
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url = https://b.example\n  https://c.example\n"
        "timeout = 100\n[install]\nfind-links = /overruled\ntrusted-host = a.example\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels https://d.example")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "200")
    environment = bootstrap.uv_environment(sys.executable)
    expected = {
        "UV_DEFAULT_INDEX": "https://a.example/simple",
        "UV_EXTRA_INDEX_URL": "https://b.example https://c.example",
        "UV_FIND_LINKS": "/wheels,https://d.example",
        "UV_INSECURE_HOST": "a.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_HTTP_TIMEOUT": "200",
    }
    assert {name: environment[name] for name in expected} == expected


@pytest.mark.parametrize("lock", ["requirements-preview.txt", "requirements.txt", "requirements-dev.txt"])
def test_every_lock_names_the_headless_opencv_alone_and_uv(lock):
    names = re.findall(r"^([\w-]+)==", (ROOT / lock).read_text(), re.MULTILINE)
    assert [name for name in names if name.startswith("opencv")] == ["opencv-contrib-python-headless"]
    assert "uv" in names


def test_a_missing_system_library_is_told_with_the_command_that_installs_it(tmp_path, capsys):
    python = program(
        tmp_path,
        "python",
        "echo 'ImportError: libGL.so.1: cannot open shared object file' >&2",
        "exit 1",
    )
    with pytest.raises(SystemExit):
        bootstrap.check_libraries(str(python))
    told = capsys.readouterr().out
    assert "libGL.so.1" in told
    assert "apt-get install -y libgl1 libglib2.0-0" in told


def test_libraries_that_are_there_pass():
    bootstrap.check_libraries(sys.executable)


def test_any_python_can_read_the_script():
    """Also those that know no annotations, no f-strings, and no UTF-8 unless told."""
    source = Path(bootstrap.__file__).read_text(encoding="utf-8")
    assert source.startswith("# -*- coding: utf-8 -*-")
    tree = ast.parse(source, feature_version=(3, 4))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.AnnAssign)]
