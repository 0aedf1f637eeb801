"""A storage in a folder, which all nodes of a cluster must share."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from serve_app.errors import StorageFull
from serve_app.storage.base import UploadName
from serve_app.storage.durable import make_folder, sync_folder

# A full disk, and a user's quota that is used up.
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class LocalVideo:
    """A published video; see `StoredVideo`."""

    size: int
    modified_at: float
    path: Path

    def open(self) -> BinaryIO:
        """Its content."""
        return self.path.open("rb")


@dataclass(frozen=True)
class LocalUnfinishedVideo:
    """A video that an attempt is writing; see `UnfinishedVideo`."""

    path: Path

    def publish(self) -> str:
        """Sync it to disk and rename it."""
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())
        published = self.path.with_suffix("")
        os.replace(self.path, published)
        sync_folder(published.parent)
        return published.name


@dataclass(frozen=True)
class LocalStorage:
    """A folder with the files of every task; see `Storage`.

    Uploads keep fixed names, whatever the client called them: `uploads/<task>/audio_file`. A video is written
    as `videos/<task>/attempt-<n>.mp4.part` and published without the suffix.
    """

    root: Path

    def has_room(self, min_free_bytes: int) -> bool:
        """Whether this much of the disk is free."""
        make_folder(self.root)
        return shutil.disk_usage(self.root).free >= min_free_bytes

    def save_upload(
        self, task_id: str, name: UploadName, content: BinaryIO, check: Callable[[Path], None]
    ) -> None:
        """Write an upload to its file and check the file."""
        path = self._uploads / task_id / name
        try:
            make_folder(path.parent)
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(path.parent)
        except OSError as error:
            if is_disk_full(error):
                raise StorageFull from error
            raise
        check(path)

    @contextmanager
    def upload(self, task_id: str, name: UploadName) -> Iterator[Path]:
        """The file itself, not a copy."""
        yield self._uploads / task_id / name

    def remove_uploads(self, task_id: str) -> None:
        """Remove the uploads of a task."""
        shutil.rmtree(self._uploads / task_id, ignore_errors=True)

    @contextmanager
    def unfinished_video(self, task_id: str, attempt: int) -> Iterator[LocalUnfinishedVideo]:
        """A file next to the published videos."""
        path = self._videos / task_id / f"attempt-{attempt}.mp4.part"
        make_folder(path.parent)
        try:
            yield LocalUnfinishedVideo(path)
        finally:
            path.unlink(missing_ok=True)

    def video(self, task_id: str, name: str) -> LocalVideo:
        """A published video."""
        path = self._videos / task_id / name
        status = path.stat()
        return LocalVideo(status.st_size, status.st_mtime, path)

    def remove_video(self, task_id: str, name: str) -> None:
        """Remove a published video."""
        self._videos.joinpath(task_id, name).unlink(missing_ok=True)

    def remove_other_videos(self, task_id: str, published: str | None) -> None:
        """Remove all that attempts left, except the published video with this name."""
        if published is None:
            shutil.rmtree(self._videos / task_id, ignore_errors=True)
            return
        for file in self._videos.joinpath(task_id).glob("*"):
            if file.name != published:
                file.unlink(missing_ok=True)

    def remove(self, task_id: str) -> None:
        """Remove every file of a task."""
        self.remove_uploads(task_id)
        shutil.rmtree(self._videos / task_id, ignore_errors=True)

    def task_ids(self) -> set[str]:
        """The tasks that have a folder here."""
        return {*_task_folders(self._uploads), *_task_folders(self._videos)}

    def changed_at(self, task_id: str) -> float:
        """When a file of the task was last written."""
        return max((_changed_at(path) for path in self._paths(task_id)), default=0.0)

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
    """Whether an error says that the disk has no room for a file."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


def _task_folders(parent: Path) -> Iterator[str]:
    """The names of task folders; other files and folders are not ours."""
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
