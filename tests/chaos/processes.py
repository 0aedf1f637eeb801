"""Starting, finding and ending the processes of this run, and of no other."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil


def start(command: list[str], log: Path, cwd: Path, environment: Mapping[str, str]) -> psutil.Popen:
    """A process whose output is appended to the log."""
    with log.open("a") as output:
        return psutil.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def family(*processes: psutil.Process) -> list[psutil.Process]:
    """These processes with all their descendants."""
    return [member for process in processes for member in (process, *descendants(process))]


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Its children, theirs, and so on; none of a process that has ended."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def named(name: str, members: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those whose command line, or the title that Ray gives them, contains this name."""
    return [process for process in members if name in title(process)]


def title(process: psutil.Process) -> str:
    """The command line; empty for a process that has ended."""
    try:
        ended = process.status() == psutil.STATUS_ZOMBIE
        return "" if ended else " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill(members: Iterable[psutil.Process]) -> None:
    """SIGKILL to all of them; those that have ended are none the worse for it."""
    members = list(members)
    for process in members:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(members, timeout=10)
