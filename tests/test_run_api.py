"""`run_api.bat` as far as a machine without Windows can read it."""

from serve_app.launcher import ROOT

BATCH = (ROOT / "run_api.bat").read_bytes()


def test_every_step_that_fails_is_told_in_both_languages():
    lines = BATCH.decode().splitlines()
    steps = [line for line in lines if line.startswith(("%START% ", ".venv"))]
    told = lines[lines.index(":failed") + 1]

    assert len(steps) == 2
    assert all(step.endswith("|| goto failed") for step in steps)
    assert "could not be started" in told
    assert "启动失败" in told


def test_any_python_starts_it_and_none_is_told():
    launcher, on_path, told, ending = (
        line for line in BATCH.decode().splitlines() if "if not defined START" in line
    )
    assert "in (3.12 3.11 3.10 3)" in launcher
    assert on_path.endswith('set "START=python"')
    assert "Python 3 is needed" in told
    assert "请先安装 Python 3" in told
    assert ending.endswith("goto failed")


def test_lines_end_as_windows_wants_them():
    assert BATCH.count(b"\n") == BATCH.count(b"\r\n") == len(BATCH.splitlines())
