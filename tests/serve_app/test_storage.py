"""Uploads are stored whole, or refused."""

import hashlib
import io

import pytest

from serve_app.errors import StorageFull
from serve_app.storage import Storage


def test_an_upload_is_stored_with_its_digest(tmp_path):
    content = bytes(range(256)) * 10_000
    destination = Storage(tmp_path).audio_file("a")
    digest = Storage(tmp_path).save_upload(io.BytesIO(content), destination)
    assert destination.read_bytes() == content
    assert digest == hashlib.sha256(content).hexdigest()


def test_an_upload_for_which_there_is_no_room_is_refused(small_disk):
    storage = Storage(small_disk)
    with pytest.raises(StorageFull):
        storage.save_upload(io.BytesIO(bytes(2 * 1024 * 1024)), storage.audio_file("a"))
    storage.remove_uploads("a")
    assert storage.save_upload(io.BytesIO(b"small"), storage.audio_file("a"))


def test_room_is_what_is_free_on_the_disk(small_disk):
    storage = Storage(small_disk / "data")
    assert storage.has_room(512 * 1024)
    assert not storage.has_room(2 * 1024 * 1024)
    storage.save_upload(io.BytesIO(bytes(700 * 1024)), storage.audio_file("a"))
    assert not storage.has_room(512 * 1024)
