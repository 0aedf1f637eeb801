"""Limits for a process that reads a user's file. Knows nothing of what it reads."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from subprocess import Popen
from threading import Event, Timer


@dataclass(frozen=True)
class Bounds:
    """Limits of one process; it is killed when it exceeds them.

    Attributes:
        memory: bytes of address space, on Linux.
        cpu_seconds: processor time, on Linux; None for a process that runs for as long as it is given work.
        seconds: wall-clock time, on every system; more than `cpu_seconds`, because the machine may be busy.
    """

    memory: int
    cpu_seconds: int | None = None
    seconds: float | None = None

    def less(self, seconds: float) -> "Bounds":
        """The same without this much of the wall-clock time, which was used before."""
        return self if self.seconds is None else replace(self, seconds=max(self.seconds - seconds, 0.0))


@contextmanager
def bounded(process: "Popen[bytes]", bounds: Bounds) -> Iterator["Bounded"]:
    """Apply limits to a process that was just started; leaving the context kills it."""
    _limit(process, bounds)
    watch = Bounded(process)
    try:
        with _alarm(bounds.seconds, watch):
            yield watch
    finally:
        process.kill()


@contextmanager
def _alarm(seconds: float | None, watch: "Bounded") -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = Timer(seconds, watch.time_out)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Bounded:
    """A process under bounds; made by `bounded`."""

    def __init__(self, process: "Popen[bytes]"):
        self._process = process
        self._timed_out = Event()

    @property
    def exceeded(self) -> bool:
        """Whether it was killed for exceeding its limits; meaningful only after waiting for it to end.

        A kill by the system's out-of-memory killer looks the same as too much processor time.
        """
        killed = sys.platform != "win32" and self._process.returncode == -signal.SIGKILL
        return self._timed_out.is_set() or killed

    def time_out(self) -> None:
        """Kill it if it still runs."""
        if self._process.poll() is None:
            self._timed_out.set()
            self._process.kill()


def _limit(process: "Popen[bytes]", bounds: Bounds) -> None:
    """Set from outside, because code between fork and exec can deadlock in a program with threads."""
    if sys.platform != "linux":
        return
    import resource

    for kind, most in (
        (resource.RLIMIT_AS, bounds.memory),
        # Soft and hard limit are equal: on the soft limit's signal, ffmpeg ends as if the file were complete.
        (resource.RLIMIT_CPU, bounds.cpu_seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        if most is None:
            continue
        try:
            resource.prlimit(process.pid, kind, (most, most))
        except ProcessLookupError:  # it has ended already
            return
