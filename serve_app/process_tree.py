"""A program that is started, and ended with everything that it has started in turn.

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

# Of the 10 s in which everything ends, what it may take of its own accord. Measured on two busy cores, a
# service that works on two tasks takes 5 s, and 7 s where it also decodes an upload.
GRACE_S = 8.0

_KILLED_TIMEOUT_S = 1.0
_LOOK_PERIOD_S = 0.1


def heed_endings() -> None:
    """Have everything that asks this process to end raise KeyboardInterrupt, as Ctrl-C does."""
    # Also where we were started with Ctrl-C ignored, as shells do in the background.
    for number in _endings():
        signal.signal(number, signal.default_int_handler)


@contextmanager
def running(
    command: list[str],
    cwd: Path,
    environment: Mapping[str, str],
    output: IO[str] | None = None,
    grace_s: float = GRACE_S,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that runs while in the context; it and all its descendants have ended afterwards.

    Args:
        command: the program and its arguments.
        cwd: the folder it runs in.
        environment: its environment, whole.
        output: where it writes to; by default where this process does.
        grace_s: seconds that it has for an end of its own, once it is asked; what is left then is killed.
    """
    # In a session of its own, so that Ctrl-C reaches it through us alone.
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=output, stderr=output, start_new_session=True
    )
    try:
        yield process
    finally:
        # Whoever presses Ctrl-C again gets the same end, not half of it.
        with _deaf_to_endings():
            _end(process, grace_s)


def wait(process: "subprocess.Popen[bytes]") -> int:
    """The exit status of a process, once it has ended; a KeyboardInterrupt comes through."""
    # On Windows, Popen.wait() does not notice Ctrl-C.
    while (status := process.poll()) is None:
        time.sleep(_LOOK_PERIOD_S)
    return status


def _endings() -> Iterator[signal.Signals]:
    yield from (signal.SIGINT, signal.SIGTERM)
    # Who starts us with nohup means that a terminal may close.
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


@contextmanager
def _deaf_to_endings() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _endings()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: "subprocess.Popen[bytes]", grace_s: float) -> None:
    family = _Family(process)
    family.look()
    _interrupt(process)
    if not family.ends_within(grace_s):
        family.kill()
        family.ends_within(_KILLED_TIMEOUT_S)


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    # On Windows the console tells all programs in it, and a program that shares it cannot be told alone.
    if sys.platform != "win32":
        process.send_signal(signal.SIGINT)


class _Family:
    """A process and every descendant that was seen, also those whose parents have ended since."""

    def __init__(self, process: "subprocess.Popen[bytes]"):
        self._process = process
        self._members: set[psutil.Process] = set()

    def look(self) -> None:
        """Learn who is there now; those who have ended are nobody's parents."""
        if self._process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                root = psutil.Process(self._process.pid)
                self._members |= {root, *root.children(recursive=True)}

    def ends_within(self, seconds: float) -> bool:
        """Wait for everybody's end, so long at most; tells whether it has come."""
        deadline = time.monotonic() + seconds
        while self._living():
            if time.monotonic() > deadline:
                return False
            self.look()
            time.sleep(_LOOK_PERIOD_S)
        return True

    def kill(self) -> None:
        """End at once whoever is left."""
        for member in self._living():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()

    def _living(self) -> list[psutil.Process]:
        self._process.poll()  # what has ended is a zombie until it is asked for its status
        return [member for member in self._members if _lives(member)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
