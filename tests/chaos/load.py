"""Clients of the service: they send tasks while it breaks, and remember every one that was accepted."""

import time
import uuid
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import httpx

from tests.chaos.plan import Order
from tests.service import poll

SIDE = 512  # of the videos, in pixels; smaller ones would be finished before their fault

_TIMEOUT_S = 60
_SEND_TIMEOUT_S = 180
_PAUSE_S = 0.5


def is_answer(response: httpx.Response) -> bool:
    """Whether the service itself speaks, and not to say that it cannot.

    Serve's proxy answers 404, in plain text, to every path while the application is not deployed yet.
    """
    return response.status_code < 500 and response.headers["content-type"] == "application/json"


class Load:
    """Sends what a round orders and waits for it; a context that ends with the last answer.

    Args:
        url: of the service.
        image: the portrait.
        audio: the speech, as long as the longest video or longer.
    """

    def __init__(self, url: str, image: Path, audio: Path):
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_S)
        self._files = {"reference_image": image.read_bytes(), "audio_file": audio.read_bytes()}
        self._pool = ThreadPoolExecutor(max_workers=8)

    def __enter__(self) -> "Load":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        self._http.close()

    def send(self, orders: Iterable[Order]) -> list[Future[str]]:
        """Send each order at its time; gives the ids of the tasks, once they are accepted."""
        return [self._pool.submit(self._send, order) for order in orders]

    def wait(self, task_id: str, patience_s: float) -> dict | None:
        """The last answer about a task: that it has ended, or is unknown; None if it goes on for longer."""
        try:
            return poll(lambda: self._final_answer(task_id), patience_s, 0.2)
        except AssertionError:
            return None

    def download(self, task_id: str) -> bytes:
        """The finished video."""
        return self._http.get(f"/download/{task_id}").raise_for_status().content

    def _final_answer(self, task_id: str) -> dict | None:
        try:
            response = self._http.get(f"/task/{task_id}")
        except httpx.TransportError:
            return None
        if not is_answer(response) or response.json().get("status") in ("pending", "processing"):
            return None
        return response.json()

    def _send(self, order: Order) -> str:
        """Try until a task is accepted; what got no answer is sent again under the same key."""
        time.sleep(order.delay_s)
        fields = {"width": SIDE, "height": SIDE, "length": order.frame_count, "seed": order.seed}
        headers = {"Idempotency-Key": str(uuid.UUID(int=order.seed))}
        deadline = time.monotonic() + _SEND_TIMEOUT_S
        while True:
            try:
                response = self._http.post("/generate_video", data=fields, files=self._files, headers=headers)
                if is_answer(response):
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"nothing was accepted for {_SEND_TIMEOUT_S} s"
            time.sleep(_PAUSE_S)
        return response.raise_for_status().json()["task_id"]
