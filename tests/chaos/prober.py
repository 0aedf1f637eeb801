"""Asks for a task twice a second and measures how long there is no answer."""

import threading
import time
from types import TracebackType

import httpx

from tests.chaos.load import is_answer

_PERIOD_S = 0.5
_TIMEOUT_S = 5.0


class Prober:
    """Asks while it is entered as a context.

    Args:
        url: of the service.
    """

    def __init__(self, url: str):
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober")
        self._answered_at = time.monotonic()
        self._longest_s = 0.0

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def longest_outage(self) -> float:
        """Seconds between two answers, less the pause between two questions; counted from the last call."""
        longest, self._longest_s = self._longest_s, 0.0
        return max(0.0, longest - _PERIOD_S)

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            if self._answers():
                now = time.monotonic()
                self._longest_s = max(self._longest_s, now - self._answered_at)
                self._answered_at = now

    def _answers(self) -> bool:
        # No task has this id, which only the task manager can tell.
        try:
            response = httpx.get(f"{self._url}/task/probe", timeout=_TIMEOUT_S)
        except httpx.TransportError:
            return False
        return is_answer(response)
