"""What a storage promises. Nobody else knows where files lie, or whether they are files at all."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

UploadName = Literal["reference_image", "audio_file"]


class StoredVideo(Protocol):
    """A published video; it never changes, but may be removed at any time."""

    @property
    def size(self) -> int:
        """Its bytes."""

    @property
    def modified_at(self) -> float:
        """When it was written, in seconds since the epoch."""

    def open(self) -> BinaryIO:
        """Its content, seekable, at the start. Opening and reading block.

        Raises:
            FileNotFoundError: it was removed.
        """


class UnfinishedVideo(Protocol):
    """A video that an attempt is writing."""

    @property
    def path(self) -> Path:
        """Where to write it: a local path in a folder that is there, and takes other files of the attempt."""

    def publish(self) -> str:
        """Keep what was written, for good; returns the name under which the task's video is found."""


class Storage(Protocol):
    """The uploads and videos of every task.

    An upload or a video appears whole or not at all, and is safe from a power cut as soon as the call that
    stored it returns. What counts is what the journal names: anything else is left over, and may be removed.

    Every method blocks. Removing what is not there is no error. Engines and decoders read and write local
    files; a storage that keeps its content elsewhere gives them copies.
    """

    def has_room(self, min_free_bytes: int) -> bool:
        """Whether so much more can be stored."""

    def save_upload(
        self, task_id: str, name: UploadName, content: BinaryIO, check: Callable[[Path], None]
    ) -> None:
        """Store an upload, from where `content` stands to its end, if a local copy of it passes `check`.

        Raises:
            StorageFull: there is no room for it.
            Exception: what `check` raised; what was written may be left over then.
        """

    def upload(self, task_id: str, name: UploadName) -> AbstractContextManager[Path]:
        """A local copy of an upload, to be read while the context lasts.

        Raises:
            FileNotFoundError: it was removed; raised here or by whoever reads the copy.
        """

    def remove_uploads(self, task_id: str) -> None:
        """Remove the uploads of a task."""

    def unfinished_video(self, task_id: str, attempt: int) -> AbstractContextManager[UnfinishedVideo]:
        """A video to be written and published; what is not published when the context ends is removed."""

    def video(self, task_id: str, name: str) -> StoredVideo:
        """A published video.

        Raises:
            FileNotFoundError: it was removed.
        """

    def remove_video(self, task_id: str, name: str) -> None:
        """Remove a published video."""

    def remove_other_videos(self, task_id: str, published: str | None) -> None:
        """Remove what attempts left behind, except the video with this name."""

    def remove(self, task_id: str) -> None:
        """Remove everything of a task."""

    def task_ids(self) -> set[str]:
        """The tasks of which there is anything."""

    def changed_at(self, task_id: str) -> float:
        """When anything of the task was last written, in seconds since the epoch; 0 if there is nothing."""
