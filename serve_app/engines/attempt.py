"""One attempt at a task, run in a thread of a replica and watched from its event loop."""

import threading
from dataclasses import replace

from models.engine import Engine
from models.pipeline import Progress, generate_video
from serve_app.storage.base import Storage
from serve_app.task import Stage, Task, TaskReport


class Attempt:
    """Makes the video of a task that was claimed.

    Args:
        task: the task as claimed.
        engine: what generates the frames.
        storage: where the uploads lie and the video goes.
    """

    def __init__(self, task: Task, engine: Engine, storage: Storage):
        self._task = task
        self._engine = engine
        self._storage = storage
        self._stop = threading.Event()
        # Replaced whole by the worker thread, read by the event loop.
        self._report = TaskReport(
            task_id=task.id,
            attempt=task.attempt,
            counter=0,
            stage=Stage.PREPARING,
            progress=0.0,
            device=engine.device,
            frames_requested=None,
            frames_generated=0,
            audio_seconds=None,
            warnings=self._warnings(()),
        )

    def run(self) -> str:
        """Generate and publish the video; returns its name.

        Raises:
            GenerationError: as `models.pipeline.generate_video` does.
        """
        task, storage = self._task, self._storage
        with (
            storage.upload(task.id, "reference_image") as reference_image,
            storage.upload(task.id, "audio_file") as audio_file,
            storage.unfinished_video(task.id, task.attempt) as video,
        ):
            generate_video(
                self._engine,
                reference_image,
                audio_file,
                video.path,
                task.params,
                self._on_progress,
                self._stop.is_set,
            )
            return video.publish()

    def stop(self) -> None:
        """Ask the worker thread to end soon."""
        self._stop.set()

    def report(self) -> TaskReport:
        """How far the worker thread is."""
        return self._report

    def _on_progress(self, progress: Progress) -> None:
        self._report = replace(
            self._report,
            counter=self._report.counter + 1,
            stage=Stage(progress.stage),
            progress=progress.fraction,
            frames_requested=progress.frames_requested,
            frames_generated=progress.frames_generated,
            audio_seconds=progress.audio_seconds,
            warnings=self._warnings(progress.warnings),
        )

    def _warnings(self, found: tuple[str, ...]) -> tuple[str, ...]:
        """What was known at submission, the device, and what the pipeline found; each once."""
        warnings = list(self._task.warnings)
        if not self._engine.device.startswith(self._task.requested_device):
            warnings.append(
                f"device {self._task.requested_device!r} was asked for; "
                f"the {self._engine.name} engine ran on {self._engine.device!r}"
            )
        return tuple(dict.fromkeys([*warnings, *found]))
