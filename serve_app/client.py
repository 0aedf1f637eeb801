"""The service from Python and from the command line: python -m serve_app.client IMAGE AUDIO OUT

Speaks HTTP only; the caller needs no Ray.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import httpx
from tqdm import tqdm

from serve_app.schemas import ErrorResponse, HealthResponse, TaskListResponse, TaskResponse
from serve_app.task import TaskStatus

DEFAULT_URL = "http://127.0.0.1:7688"

# The API key, out of sight of `ps` and the shell's history.
KEY_VARIABLE = "ECHOMIMIC_API_KEY"


class ClientError(Exception):
    """The service refused a request or could not make the video; the message is the service's own."""


class ServiceUnavailable(ClientError):
    """The service cannot answer now, for example while it starts; a retry may succeed."""


# A service that is restarted, and loads its networks again, is back within this time.
_PATIENCE_S = 180.0


class EchoMimicClient:
    """One connection to the service.

    Args:
        base_url: where it listens.
        timeout_s: seconds to wait for an answer.
        poll_interval_s: seconds between two requests for the state of a task.
        api_key: for a service that needs one; by default what ECHOMIMIC_API_KEY in the environment says.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        timeout_s: float = 60.0,
        poll_interval_s: float = 0.5,
        api_key: str | None = None,
    ):
        key = api_key or os.environ.get(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A proxy that the environment names is for other machines, and cannot reach services on this one.
        here: dict[str, None] = {"all://127.0.0.1": None, "all://localhost": None}
        self._http = httpx.Client(base_url=base_url, timeout=timeout_s, headers=headers, mounts=here)
        self._poll_interval_s = poll_interval_s

    def __enter__(self) -> "EchoMimicClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def health(self) -> HealthResponse:
        """Whether the service is ready.

        Raises:
            httpx.TransportError: nothing answers there.
            ClientError: the answer was an error, for example while the service starts.
        """
        return HealthResponse.model_validate(_checked(self._http.get("/health")).json())

    def generate_video(
        self,
        reference_image: Path,
        audio_file: Path,
        *,
        idempotency_key: str | None = None,
        **params: str | int | float,
    ) -> str:
        """Send a portrait and a speech clip; returns the task's id.

        Args:
            reference_image: an image file.
            audio_file: an audio file.
            idempotency_key: a string of your choice, unique to this video; sent again, it returns the same
                task.
            params: further fields of the form, such as `width=256` or `fps="30000/1001"`.

        Raises:
            ClientError: the service did not accept them; the message names the field.
        """
        with reference_image.open("rb") as image, audio_file.open("rb") as audio:
            files = {"reference_image": image, "audio_file": audio}
            headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
            response = self._http.post("/generate_video", files=files, data=params, headers=headers)
        task_id: str = _checked(response).json()["task_id"]
        return task_id

    def task(self, task_id: str) -> TaskResponse:
        """The state of a task.

        Raises:
            ClientError: there is no such task.
        """
        return TaskResponse.model_validate(_checked(self._http.get(f"/task/{task_id}")).json())

    def tasks(
        self, status: TaskStatus | None = None, cursor: str | None = None, limit: int = 20
    ) -> TaskListResponse:
        """The state of tasks, newest first; `next_cursor` of the answer leads to older ones.

        Args:
            status: only tasks with this status.
            cursor: where another page ended.
            limit: the maximum number of tasks, 1 to 100.
        """
        wanted = {"status": status and status.value, "cursor": cursor, "limit": limit}
        params = {name: value for name, value in wanted.items() if value is not None}
        return TaskListResponse.model_validate(_checked(self._http.get("/tasks", params=params)).json())

    def cancel(self, task_id: str) -> TaskResponse:
        """End a task that is not finished.

        Raises:
            ClientError: there is no such task, or it is finished.
        """
        return TaskResponse.model_validate(_checked(self._http.post(f"/task/{task_id}/cancel")).json())

    def delete(self, task_id: str) -> None:
        """Remove a finished task with its files; one that is not finished is cancelled instead.

        Raises:
            ClientError: there is no such task.
        """
        _checked(self._http.delete(f"/task/{task_id}"))

    def wait(self, task_id: str, on_update: Callable[[TaskResponse], None]) -> TaskResponse:
        """Follow a task until its video is ready; `on_update` is called with every state received.

        Rides out a restart of the service.

        Raises:
            ClientError: the task failed; the message says why.
            ServiceUnavailable: the service did not answer for three minutes.
            httpx.TransportError: the service could not be reached for three minutes.
        """
        answered_at = time.monotonic()
        while True:
            try:
                task = self.task(task_id)
            except (ServiceUnavailable, httpx.TransportError):
                if time.monotonic() - answered_at > _PATIENCE_S:
                    raise
                time.sleep(self._poll_interval_s)
                continue
            answered_at = time.monotonic()
            on_update(task)
            if task.status is TaskStatus.FAILED:
                raise ClientError(task.error)
            if task.status is TaskStatus.COMPLETED:
                return task
            time.sleep(self._poll_interval_s)

    def download(self, task_id: str, destination: Path) -> None:
        """Save the video of a completed task.

        Raises:
            ClientError: there is no video.
        """
        with self._http.stream("GET", f"/download/{task_id}") as response:
            if response.is_error:
                response.read()
            _checked(response)
            # So that `destination` never holds part of a video.
            part = destination.with_name(destination.name + ".part")
            with part.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
            part.replace(destination)


class ProgressDisplay:
    """A progress bar on a terminal; elsewhere, as in a log, one line for each stage.

    Args:
        bar_format: how tqdm draws the bar.
    """

    def __init__(self, bar_format: str):
        self._bar = tqdm(total=100, bar_format=bar_format, disable=None)
        self._stage = ""

    def __enter__(self) -> "ProgressDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def show(self, stage: str, percent: int = 0) -> None:
        """Show the stage and how much is done, 0 to 100 %."""
        if not self._bar.disable:
            self._bar.n = percent
            self._bar.set_description_str(stage)
        elif stage != self._stage:
            print(stage, file=sys.stderr, flush=True)
        self._stage = stage


def make_video(client: EchoMimicClient, image: Path, audio: Path, destination: Path) -> TaskResponse:
    """Send, show the progress, save.

    Raises:
        ClientError: as the methods of the client do.
    """
    task_id = client.generate_video(image, audio)
    with ProgressDisplay("{desc:>12} |{bar}| {percentage:3.0f} % {elapsed}") as display:

        def show(task: TaskResponse) -> None:
            display.show(task.stage.value if task.stage else task.status.value, round(100 * task.progress))

        task = client.wait(task_id, show)
    client.download(task_id, destination)
    return task


def summary(task: TaskResponse, destination: Path) -> str:
    """The result of a task, in a few lines."""
    lines = [
        f"{destination}: {task.frames_generated} frames, {task.width}×{task.height}, "
        f"made by the {task.engine} engine on {task.device}"
    ]
    return "\n".join(lines + [f"  note: {warning}" for warning in task.warnings])


def _checked(response: httpx.Response) -> httpx.Response:
    if not response.is_error:
        return response
    try:
        message = ErrorResponse.model_validate_json(response.content).detail
    except ValueError:
        # From Serve's proxy, which answers 404 in plain text while the application starts.
        raise ServiceUnavailable(f"HTTP {response.status_code}: {response.text[:200]}") from None
    raise (ServiceUnavailable if response.is_server_error else ClientError)(message)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make a portrait speak.")
    parser.add_argument("image", type=Path, help="the portrait")
    parser.add_argument("audio", type=Path, help="the speech")
    parser.add_argument("out", type=Path, help="where to save the MP4")
    parser.add_argument("--url", default=DEFAULT_URL, help="where the service listens (%(default)s)")
    arguments = parser.parse_args()
    try:
        with EchoMimicClient(arguments.url) as client:
            print(summary(make_video(client, arguments.image, arguments.audio, arguments.out), arguments.out))
    except (ClientError, OSError, httpx.TransportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
