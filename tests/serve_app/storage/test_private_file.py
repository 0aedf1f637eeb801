"""Small files are written whole, for their owner alone, and only when they must be."""

import os

import pytest

from serve_app.storage import private_file
from tests.serve_app.disk import fill


def test_a_created_file_is_its_owner_s_alone(tmp_path):
    path = tmp_path / "below" / "secret"
    assert private_file.create(path, b"content") == path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_is_returned_as_it_is(tmp_path):
    private_file.create(tmp_path / "secret", b"first")
    assert private_file.create(tmp_path / "secret", b"second") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_also_on_a_full_disk(small_disk):
    private_file.create(small_disk / "secret", b"content")
    fill(small_disk)
    assert private_file.create(small_disk / "secret", b"another") == b"content"


def test_a_replaced_file_keeps_its_owner(tmp_path):
    if not hasattr(os, "getuid") or os.getuid() != 0:
        pytest.skip("only root can give a file away")
    private_file.create(tmp_path / "keys", b"old")
    os.chown(tmp_path / "keys", 1234, 5678)
    private_file.replace(tmp_path / "keys", b"new")
    status = (tmp_path / "keys").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1234, 5678, 0o600)


def test_a_replaced_file_has_the_new_content(tmp_path):
    private_file.create(tmp_path / "keys", b"old")
    private_file.replace(tmp_path / "keys", b"new")
    assert (tmp_path / "keys").read_bytes() == b"new"
