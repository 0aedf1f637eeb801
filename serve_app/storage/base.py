"""The interface of a storage. Only an implementation knows where things are kept, and whether in files."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

UploadName = Literal["reference_image", "audio_file"]


class StoredVideo(Protocol):
    """A published video; it never changes, but can be removed at any time."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    @property
    def modified_at(self) -> float:
        """When it was written, in seconds since the epoch."""

    def open(self) -> BinaryIO:
        """Its content, seekable, at the start.

        Raises:
            FileNotFoundError: it was removed.
        """


class UnfinishedVideo(Protocol):
    """A video that an attempt is writing."""

    @property
    def path(self) -> Path:
        """Where to write it: a local path. Its folder exists, and can hold other files of the attempt."""

    def publish(self) -> str:
        """Store what was written; returns the name of the published video."""


class Storage(Protocol):
    """The uploads and videos of every task.

    A call that stores an upload or a video returns when it is complete and safe from a power cut. Only what
    the journal names counts: all else is left over from a call that failed, and may be removed.

    All methods block. Removing what does not exist is no error. Engines and decoders need local files: a
    storage that keeps its content elsewhere makes copies for them.
    """

    def has_room(self, min_free_bytes: int) -> bool:
        """Whether this many bytes can still be stored."""

    def save_upload(
        self, task_id: str, name: UploadName, content: BinaryIO, check: Callable[[Path], None]
    ) -> None:
        """Store an upload, from the current position of `content` to its end, if `check` accepts it.

        Args:
            task_id: whose upload it is.
            name: which of the two.
            content: the upload.
            check: gets a local copy, and raises an error to refuse it.

        Raises:
            StorageFull: there is no room for it.
            Exception: what `check` raised; the upload may be left over.
        """

    def upload(self, task_id: str, name: UploadName) -> AbstractContextManager[Path]:
        """A local copy of an upload, readable while the context lasts.

        Raises:
            FileNotFoundError: it was removed; raised here or when the copy is read.
        """

    def remove_uploads(self, task_id: str) -> None:
        """Remove the uploads of a task."""

    def unfinished_video(self, task_id: str, attempt: int) -> AbstractContextManager[UnfinishedVideo]:
        """A video to write and publish; it is removed if it is not published before the context ends."""

    def video(self, task_id: str, name: str) -> StoredVideo:
        """A published video.

        Raises:
            FileNotFoundError: it was removed.
        """

    def remove_video(self, task_id: str, name: str) -> None:
        """Remove a published video."""

    def remove_other_videos(self, task_id: str, published: str | None) -> None:
        """Remove all that attempts left, except the published video with this name."""

    def remove(self, task_id: str) -> None:
        """Remove the uploads and videos of a task."""

    def task_ids(self) -> set[str]:
        """The tasks that have uploads or videos."""

    def changed_at(self, task_id: str) -> float:
        """When an upload or video was last written, in seconds since the epoch; 0 if there is none."""
