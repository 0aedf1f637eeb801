"""Where uploads and videos lie. Knows paths, nothing of what is in the files."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from serve_app.errors import StorageFull
from serve_app.storage.durable import make_folder, sync_folder

# The second is that of a user whose share of the disk is used up.
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


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
        return self._uploads / task_id / "reference_image"

    def audio_file(self, task_id: str) -> Path:
        """Where the audio file of a task lies."""
        return self._uploads / task_id / "audio_file"

    def save_upload(self, source: BinaryIO, destination: Path) -> None:
        """Copy an upload to its place, safely on the disk before the task is accepted.

        Raises:
            StorageFull: the disk has no room for it.
        """
        try:
            make_folder(destination.parent)
            with destination.open("wb") as target:
                shutil.copyfileobj(source, target)
                target.flush()
                os.fsync(target.fileno())
            sync_folder(destination.parent)
        except OSError as error:
            if is_disk_full(error):
                raise StorageFull from error
            raise

    def has_room(self, min_free_bytes: int) -> bool:
        """Whether so much of the disk is free."""
        make_folder(self.root)
        return shutil.disk_usage(self.root).free >= min_free_bytes

    def remove(self, task_id: str) -> None:
        """Remove every file of a task."""
        self.remove_uploads(task_id)
        shutil.rmtree(self._videos / task_id, ignore_errors=True)

    def remove_uploads(self, task_id: str) -> None:
        """Remove the uploads of a task."""
        shutil.rmtree(self._uploads / task_id, ignore_errors=True)

    def remove_other_videos(self, task_id: str, published: str | None) -> None:
        """Remove what attempts left behind, except the video with this name."""
        if published is None:
            shutil.rmtree(self._videos / task_id, ignore_errors=True)
            return
        for file in self._videos.joinpath(task_id).glob("*"):
            if file.name != published:
                file.unlink(missing_ok=True)

    def task_ids(self) -> set[str]:
        """The tasks that have uploads or videos here."""
        return {*_task_folders(self._uploads), *_task_folders(self._videos)}

    def changed_at(self, task_id: str) -> float:
        """When a file of the task was last written, in seconds since the epoch; 0 if there is none."""
        return max((_changed_at(path) for path in self._paths(task_id)), default=0.0)

    def video(self, task_id: str, name: str) -> Path:
        """Where the published video of a task lies."""
        return self._videos / task_id / name

    def unfinished_video(self, task_id: str, attempt: int) -> Path:
        """Where an attempt writes its video; the folder exists afterwards."""
        path = self.video(task_id, f"attempt-{attempt}.mp4.part")
        make_folder(path.parent)
        return path

    def publish(self, unfinished: Path) -> Path:
        """Give a finished video its final name, safely on the disk; returns its path."""
        with unfinished.open("r+b") as file:
            os.fsync(file.fileno())
        published = unfinished.with_suffix("")
        os.replace(unfinished, published)
        sync_folder(published.parent)
        return published

    @property
    def _uploads(self) -> Path:
        return self.root / "uploads"

    @property
    def _videos(self) -> Path:
        return self.root / "videos"

    def _paths(self, task_id: str) -> Iterator[Path]:
        for folder in (self._uploads / task_id, self._videos / task_id):
            yield from (folder, *folder.glob("*"))


def is_disk_full(error: BaseException | None) -> bool:
    """Whether this is how the system says that there is no room for a file."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


def _task_folders(parent: Path) -> Iterator[str]:
    """Names of folders; only those that can be a task's, whatever else somebody keeps there."""
    if parent.is_dir():
        yield from (folder.name for folder in parent.iterdir() if _is_task_id(folder.name))


def _is_task_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
