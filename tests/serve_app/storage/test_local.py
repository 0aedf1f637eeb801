"""Uploads are stored whole, or refused."""

import io
import os
from pathlib import Path

import pytest

from serve_app.errors import StorageFull
from serve_app.storage.local import Storage


def test_an_upload_is_stored_as_it_is(tmp_path):
    content = bytes(range(256)) * 10_000
    destination = Storage(tmp_path).audio_file("a")
    Storage(tmp_path).save_upload(io.BytesIO(content), destination)
    assert destination.read_bytes() == content


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
    def test_spares_an_upload_and_every_name_that_leads_to_it(self, tmp_path, synced):
        storage = Storage(tmp_path / "data")
        assert storage.has_room(0)
        storage.save_upload(io.BytesIO(b"content"), storage.audio_file("a"))
        data = tmp_path / "data"
        assert synced[storage.audio_file("a")] == b"content"
        assert synced[data / "uploads" / "a"] == {"audio_file"}
        assert synced[data / "uploads"] == {"a"}
        assert synced[data] == {"uploads"}
        assert synced[tmp_path] == {"data"}

    def test_spares_a_published_video_and_every_name_that_leads_to_it(self, tmp_path, synced):
        storage = Storage(tmp_path)
        unfinished = storage.unfinished_video("a", 1)
        unfinished.write_bytes(b"content")
        storage.publish(unfinished)
        assert synced[unfinished] == b"content"
        assert synced[tmp_path / "videos" / "a"] == {"attempt-1.mp4"}
        assert synced[tmp_path / "videos"] == {"a"}


def test_an_upload_for_which_there_is_no_room_is_refused(small_disk):
    storage = Storage(small_disk)
    with pytest.raises(StorageFull):
        storage.save_upload(io.BytesIO(bytes(2 * 1024 * 1024)), storage.audio_file("a"))
    storage.remove_uploads("a")
    storage.save_upload(io.BytesIO(b"small"), storage.audio_file("a"))
    assert storage.audio_file("a").read_bytes() == b"small"


def test_room_is_what_is_free_on_the_disk(small_disk):
    storage = Storage(small_disk / "data")
    assert storage.has_room(512 * 1024)
    assert not storage.has_room(2 * 1024 * 1024)
    storage.save_upload(io.BytesIO(bytes(700 * 1024)), storage.audio_file("a"))
    assert not storage.has_room(512 * 1024)
