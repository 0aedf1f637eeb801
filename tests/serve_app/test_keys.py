"""The command line for API keys, as an operator uses it."""

import subprocess
import sys

import pytest

from serve_app.access.api_keys import ApiKeys
from serve_app.launcher import ROOT


@pytest.fixture
def run(tmp_path):
    """Runs the command on a file of the test's own."""

    def run_command(*arguments, file=tmp_path / "api_keys.json"):
        option = ["--file", str(file)] if file else []
        command = [sys.executable, "-m", "serve_app.keys", *option, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    return run_command


def test_a_key_is_printed_once_and_opens(run, tmp_path):
    done = run("add", "alice")
    assert done.returncode == 0, done.stderr
    assert ApiKeys(tmp_path / "api_keys.json").find(done.stdout.strip()).name == "alice"
    assert done.stdout.strip() not in run("list").stdout


def test_the_list_tells_names_and_admins(run):
    run("add", "alice")
    run("add", "root", "--admin")
    alice, root = run("list").stdout.splitlines()
    assert alice.startswith("alice ")
    assert not alice.endswith("admin")
    assert root.startswith("root ")
    assert root.endswith("admin")


def test_a_revoked_key_is_gone(run, tmp_path):
    key = run("add", "alice").stdout.strip()
    assert run("revoke", "alice").returncode == 0
    assert ApiKeys(tmp_path / "api_keys.json").find(key) is None


def test_a_mistake_is_one_line(run):
    run("add", "alice")
    for arguments in (["add", "alice"], ["revoke", "bob"], ["add", "a b"]):
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1


def test_without_a_setting_the_file_must_be_named(run):
    done = run("list", file=None)
    assert done.returncode == 1
    assert done.stderr.startswith("error: serve_config.yaml sets no api_keys")
