"""One attempt at a task, run in a thread of a replica and watched from its event loop."""

import threading
from dataclasses import replace

from models.engine import Engine
from models.notices import Notice
from models.pipeline import generate_video
from models.progress import Progress, Stage
from models.provenance import Provenance
from serve_app.storage.base import Storage
from serve_app.task import Task, TaskReport


class Attempt:
    """Makes the video of a claimed task.

    Args:
        task: the task as claimed.
        engine: what generates the frames.
        storage: where the uploads are and the video goes.
        provenance: what the video says of where it comes from.
    """

    def __init__(self, task: Task, engine: Engine, storage: Storage, provenance: Provenance):
        self._task = task
        self._engine = engine
        self._storage = storage
        self._provenance = provenance
        self._stop = threading.Event()
        # Replaced whole by the worker thread, read by the event loop.
        self._report = TaskReport(
            task_id=task.id,
            attempt=task.attempt,
            counter=0,
            device=engine.device,
            progress=self._with_earlier_notices(Progress(Stage.PREPARING)),
        )

    def run(self) -> str:
        """Generate and publish the video; returns its name.

        Raises:
            GenerationError: see `models.pipeline.generate_video`.
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
                self._provenance,
            )
            return video.publish()

    def stop(self) -> None:
        """Ask the worker thread to stop soon."""
        self._stop.set()

    def report(self) -> TaskReport:
        """How far the worker thread is."""
        return self._report

    def _on_progress(self, progress: Progress) -> None:
        self._report = replace(
            self._report,
            counter=self._report.counter + 1,
            progress=self._with_earlier_notices(progress),
        )

    def _with_earlier_notices(self, progress: Progress) -> Progress:
        """The notices of the task and of the device come before those of the pipeline, each sentence once."""
        known = list(self._task.progress.notices)
        if not self._engine.device.startswith(self._task.requested_device):
            known.append(
                Notice.of(
                    "device_differs",
                    requested=self._task.requested_device,
                    engine=self._engine.name,
                    device=self._engine.device,
                )
            )
        # Compared by sentence: of an earlier release's warnings there may be nothing else.
        once = {notice.text: notice for notice in [*known, *progress.notices]}
        return replace(progress, notices=tuple(once.values()))
