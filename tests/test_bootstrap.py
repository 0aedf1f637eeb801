"""The script that prepares the environment says at once when it cannot."""

import ast
import sys
from pathlib import Path

import pytest

from scripts import bootstrap


@pytest.mark.parametrize("version", [(2, 7), (3, 9), (3, 13)])
def test_an_unfit_python_is_told_with_what_to_do(version, monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (*version, 1))
    with pytest.raises(SystemExit) as stopped:
        bootstrap.check_python()
    assert stopped.value.code == 1
    assert "Python 3.10, 3.11 or 3.12 is needed, this is {}.{}".format(*version) in capsys.readouterr().out


@pytest.mark.parametrize("version", [(3, 10), (3, 11), (3, 12)])
def test_a_fit_python_passes(version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (*version, 1))
    bootstrap.check_python()


def test_a_missing_system_library_is_told_with_the_command_that_installs_it(tmp_path, capsys):
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\necho 'ImportError: libGL.so.1: cannot open shared object file' >&2\nexit 1\n"
    )
    python.chmod(0o755)
    with pytest.raises(SystemExit):
        bootstrap.check_libraries(str(python))
    told = capsys.readouterr().out
    assert "libGL.so.1" in told
    assert "apt-get install -y libgl1 libglib2.0-0" in told


def test_libraries_that_are_there_pass():
    bootstrap.check_libraries(sys.executable)


def test_what_is_installed_is_not_installed_again(tmp_path, monkeypatch):
    commands: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path))
    monkeypatch.setattr(bootstrap, "run", commands.append)
    bootstrap.install("python", "requirements-preview.txt")
    bootstrap.install("python", "requirements-preview.txt")
    assert len(commands) == 1


def test_any_python_can_read_the_script():
    """Also those that know no annotations, no f-strings, and no UTF-8 unless told."""
    source = Path(bootstrap.__file__).read_text(encoding="utf-8")
    assert source.startswith("# -*- coding: utf-8 -*-")
    tree = ast.parse(source, feature_version=(3, 4))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.AnnAssign)]
