"""A storage in a folder: uploads and videos are there whole, or not at all."""

import os
from pathlib import Path

import pytest

from serve_app.errors import StorageFull
from serve_app.storage.local import LocalStorage
from tests.serve_app.stored import publish_video, save_upload, save_uploads, upload


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "data")


def files(storage):
    """Every file, as a path below the storage's folder."""
    return sorted(
        str(path.relative_to(storage.root)) for path in storage.root.rglob("*") if not path.is_dir()
    )


def test_files_lie_where_every_release_finds_them(storage):
    save_uploads(storage, "a")
    publish_video(storage, "a", attempt=2)
    with storage.unfinished_video("a", 3) as video:
        video.path.touch()
        names = [
            "uploads/a/audio_file",
            "uploads/a/reference_image",
            "videos/a/attempt-2.mp4",
            "videos/a/attempt-3.mp4.part",
        ]
        assert files(storage) == names


class TestAnUpload:
    def test_is_stored_as_it_is(self, storage):
        content = bytes(range(256)) * 10_000
        save_upload(storage, "a", "audio_file", content)
        assert upload(storage, "a", "audio_file") == content

    def test_is_checked_where_a_decoder_can_read_it(self, storage, tmp_path):
        source = tmp_path / "source"
        source.write_bytes(b"content")
        checked = []
        with source.open("rb") as file:
            storage.save_upload("a", "audio_file", file, lambda path: checked.append(path.read_bytes()))
        assert checked == [b"content"]

    def test_for_which_there_is_no_room_is_refused(self, small_disk):
        storage = LocalStorage(small_disk)
        with pytest.raises(StorageFull):
            save_upload(storage, "a", "audio_file", bytes(2 * 1024 * 1024))
        storage.remove_uploads("a")
        save_upload(storage, "a", "audio_file", b"small")
        assert upload(storage, "a", "audio_file") == b"small"


class TestAVideo:
    def test_that_is_published_can_be_read_from_anywhere(self, storage):
        before = os.stat(__file__).st_mtime
        video = storage.video("a", publish_video(storage, "a", content=b"0123456789"))
        assert video.size == 10
        assert video.modified_at > before
        with video.open() as file:
            file.seek(7)
            assert file.read(2) == b"78"

    def test_that_is_not_published_is_removed(self, storage):
        with storage.unfinished_video("a", 1) as video:
            video.path.write_bytes(b"half of it")
        assert files(storage) == []

    def test_that_was_removed_is_not_found(self, storage):
        name = publish_video(storage, "a")
        video = storage.video("a", name)
        storage.remove_video("a", name)
        storage.remove_video("a", name)
        with pytest.raises(FileNotFoundError):
            storage.video("a", name)
        with pytest.raises(FileNotFoundError):
            video.open()


@pytest.fixture
def synced(monkeypatch):
    """The files and folders that were put on the disk, each with what it held then."""
    paths = {}

    def fsync(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        paths[path] = {child.name for child in path.iterdir()} if path.is_dir() else path.read_bytes()

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells what a descriptor is")
class TestAPowerCut:
    def test_spares_an_upload_and_every_name_that_leads_to_it(self, storage, tmp_path, synced):
        assert storage.has_room(0)
        save_upload(storage, "a", "audio_file", b"content")
        data = storage.root
        assert synced[data / "uploads" / "a" / "audio_file"] == b"content"
        assert synced[data / "uploads" / "a"] == {"audio_file"}
        assert synced[data / "uploads"] == {"a"}
        assert synced[data] == {"uploads"}
        assert synced[tmp_path] == {"data"}

    def test_spares_a_published_video_and_every_name_that_leads_to_it(self, storage, synced):
        publish_video(storage, "a")
        videos = storage.root / "videos"
        assert synced[videos / "a" / "attempt-1.mp4.part"] == b"content"
        assert synced[videos / "a"] == {"attempt-1.mp4"}
        assert synced[videos] == {"a"}


def test_room_is_what_is_free_on_the_disk(small_disk):
    storage = LocalStorage(small_disk / "data")
    assert storage.has_room(512 * 1024)
    assert not storage.has_room(2 * 1024 * 1024)
    save_upload(storage, "a", "audio_file", bytes(700 * 1024))
    assert not storage.has_room(512 * 1024)
