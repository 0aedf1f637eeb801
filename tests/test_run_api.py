"""`run_api.bat` as far as a machine without Windows can read it."""

from serve_app.launcher import ROOT

BATCH = (ROOT / "run_api.bat").read_bytes()


def test_every_step_that_fails_is_told_in_both_languages():
    lines = BATCH.decode().splitlines()
    steps = [line for line in lines if line.startswith(("%PYTHON% ", ".venv"))]
    told = lines[lines.index(":failed") + 1]

    assert len(steps) == 2
    assert all(step.endswith("|| goto failed") for step in steps)
    assert "could not be started" in told
    assert "启动失败" in told


def test_lines_end_as_windows_wants_them():
    assert BATCH.count(b"\n") == BATCH.count(b"\r\n") == len(BATCH.splitlines())
