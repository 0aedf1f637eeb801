"""A program that ends together with every process it has started.

Knows nothing of Ray or Serve.
"""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

# Everything ends within 10 s; this much of it is for shutting down voluntarily. On two busy cores a service
# that works on two tasks took 5 s, and 7 s while it decoded an upload.
GRACE_S = 8.0

_KILLED_TIMEOUT_S = 1.0
_LOOK_PERIOD_S = 0.1


def raise_on_termination() -> None:
    """Raise KeyboardInterrupt on every signal that asks this process to end, not only on Ctrl-C."""
    # Shells start background jobs with SIGINT ignored.
    for number in _termination_signals():
        signal.signal(number, signal.default_int_handler)


@contextmanager
def running(
    command: list[str],
    cwd: Path,
    environment: Mapping[str, str],
    output: IO[str] | None = None,
    grace_s: float = GRACE_S,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that runs while the context is active; afterwards it and all its descendants have ended.

    Args:
        command: the program and its arguments.
        cwd: the folder it runs in.
        environment: its complete environment.
        output: where it writes; by default where this process does.
        grace_s: seconds it has to end once asked; processes left after that are killed.
    """
    # In its own session, so that Ctrl-C reaches it only through us.
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=output, stderr=output, start_new_session=True
    )
    try:
        yield process
    finally:
        # A second Ctrl-C must not interrupt the clean-up.
        with _ignoring_termination():
            _end(process, grace_s)


def wait(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a process to end and return its exit status; KeyboardInterrupt passes through."""
    # On Windows, Ctrl-C does not interrupt Popen.wait().
    while (status := process.poll()) is None:
        time.sleep(_LOOK_PERIOD_S)
    return status


def _termination_signals() -> Iterator[signal.Signals]:
    yield from (signal.SIGINT, signal.SIGTERM)
    # Under nohup we are meant to survive the terminal.
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


@contextmanager
def _ignoring_termination() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _termination_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: "subprocess.Popen[bytes]", grace_s: float) -> None:
    tree = _Tree(process)
    tree.look()
    _interrupt(process)
    if not tree.ends_within(grace_s):
        tree.kill()
        tree.ends_within(_KILLED_TIMEOUT_S)


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    # On Windows the console signals all programs in it, and none of them can be signalled alone.
    if sys.platform != "win32":
        process.send_signal(signal.SIGINT)


class _Tree:
    """A process and all descendants seen so far, including those whose parents have ended since."""

    def __init__(self, process: "subprocess.Popen[bytes]"):
        self._process = process
        self._members: set[psutil.Process] = set()

    def look(self) -> None:
        """Add the descendants that exist now; a process that has ended no longer lists its children."""
        if self._process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                root = psutil.Process(self._process.pid)
                self._members |= {root, *root.children(recursive=True)}

    def ends_within(self, seconds: float) -> bool:
        """Wait at most this long for all to end; returns whether they have."""
        deadline = time.monotonic() + seconds
        while self._living():
            if time.monotonic() > deadline:
                return False
            self.look()
            time.sleep(_LOOK_PERIOD_S)
        return True

    def kill(self) -> None:
        """Kill what is left."""
        for member in self._living():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()

    def _living(self) -> list[psutil.Process]:
        self._process.poll()  # reaps it if it has ended
        return [member for member in self._members if _lives(member)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
