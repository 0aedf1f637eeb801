"""Uploads and videos in a storage, and what is found there."""

import io

from serve_app.storage.base import Storage, UploadName


def save_upload(storage: Storage, task_id: str, name: UploadName, content: bytes) -> None:
    """Store an upload, whatever it is."""
    storage.save_upload(task_id, name, io.BytesIO(content), lambda _path: None)


def save_uploads(
    storage: Storage, task_id: str, image: bytes = b"content", audio: bytes = b"content"
) -> None:
    """Store both uploads of a task, whatever they are."""
    save_upload(storage, task_id, "reference_image", image)
    save_upload(storage, task_id, "audio_file", audio)


def upload(storage: Storage, task_id: str, name: UploadName) -> bytes:
    """What an upload holds; FileNotFoundError where there is none."""
    with storage.upload(task_id, name) as path:
        return path.read_bytes()


def publish_video(storage: Storage, task_id: str, attempt: int = 1, content: bytes = b"content") -> str:
    """Store the video of an attempt; returns its name."""
    with storage.unfinished_video(task_id, attempt) as video:
        video.path.write_bytes(content)
        return video.publish()
