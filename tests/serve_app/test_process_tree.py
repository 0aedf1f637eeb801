"""A program is ended with everything that it has started."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from serve_app.process_tree import running
from tests.service import lives, poll

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its consoles tell programs of Ctrl-C")

CHILD = "import time; print('started', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {f'{DEAF}; {CHILD}'!r}])"


@pytest.fixture
def run(tmp_path):
    """Runs some Python; its descendants are there when the context is entered, those with it."""

    def start(code, **options):
        return running([sys.executable, "-c", code], tmp_path, os.environ, **options)

    return start


def family(process):
    """The process and its descendants, once there is one."""
    return [psutil.Process(process.pid), *poll(psutil.Process(process.pid).children)]


def test_who_obeys_ctrl_c_ends_by_itself(run, tmp_path):
    code = f"""
try: {CHILD}
except KeyboardInterrupt: open('ended', 'w')
"""
    with (tmp_path / "log").open("w") as log, run(code, output=log):
        poll(lambda: (tmp_path / "log").read_text())
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize("code", [PARENT, f"{DEAF}; {PARENT}"], ids=["parent obeys", "parent deaf"])
def test_who_does_not_is_killed_with_all_descendants(run, code, tmp_path):
    with (tmp_path / "log").open("w") as log, run(code, output=log, grace_s=0.5) as process:
        poll(lambda: (tmp_path / "log").read_text())
        members = family(process)
    assert len(members) == 2
    assert not any(map(lives, members))


def test_a_second_ctrl_c_does_not_break_off_the_end(run, tmp_path):
    with (tmp_path / "log").open("w") as log, run(f"{DEAF}; {CHILD}", output=log, grace_s=1.0) as process:
        poll(lambda: (tmp_path / "log").read_text())
        again = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -INT {os.getpid()}"])
    assert again.wait() == 0
    assert process.returncode == -signal.SIGKILL


def test_an_error_meanwhile_ends_it_too(run):
    with pytest.raises(RuntimeError, match="meanwhile"), run(CHILD) as process:
        raise RuntimeError("meanwhile")
    assert process.returncode is not None


def test_what_has_ended_already_is_left_alone(run):
    start = time.monotonic()
    with run("pass") as process:
        process.wait()
    assert process.returncode == 0
    assert time.monotonic() - start < 5
