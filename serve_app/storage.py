"""Where uploads and videos lie. Knows paths, nothing of what is in the files."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class Storage:
    """A folder with the files of every task.

    Uploads keep fixed names, whatever the client called them. A video is written as `….part` and
    published under its final name, which the journal then records: a file that a client can
    download is complete.
    """

    root: Path

    def reference_image(self, task_id: str) -> Path:
        """Where the reference image of a task lies."""
        return self.root / "uploads" / task_id / "reference_image"

    def audio_file(self, task_id: str) -> Path:
        """Where the audio file of a task lies."""
        return self.root / "uploads" / task_id / "audio_file"

    def save_upload(self, source: BinaryIO, destination: Path) -> None:
        """Copy an upload to its place, and to the disk before the task is accepted."""
        destination.parent.mkdir(parents=True, exist_ok=True)
        with destination.open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())

    def discard_uploads(self, task_id: str) -> None:
        """Remove the uploads of a task that was not accepted."""
        shutil.rmtree(self.reference_image(task_id).parent, ignore_errors=True)

    def video(self, task_id: str, name: str) -> Path:
        """Where the published video of a task lies."""
        return self.root / "videos" / task_id / name

    def unfinished_video(self, task_id: str, attempt: int) -> Path:
        """Where an attempt writes its video; the folder exists afterwards."""
        path = self.video(task_id, f"attempt-{attempt}.mp4.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self, unfinished: Path) -> Path:
        """Give a finished video its final name, safely on the disk; returns its path."""
        with unfinished.open("r+b") as file:
            os.fsync(file.fileno())
        published = unfinished.with_suffix("")
        os.replace(unfinished, published)
        _sync_folder(published.parent)
        return published


def _sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk; on Windows folders cannot be opened, and need not be."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
