"""The file of API keys: what is in it, who gets in, what happens when it changes or breaks."""

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from serve_app.access.api_keys import PREFIX, ApiKeys, KeyFile
from serve_app.errors import ConfigError, KeysUnavailable


@pytest.fixture
def path(tmp_path):
    return tmp_path / "api_keys.json"


@pytest.fixture
def file(path):
    return KeyFile(path)


def _forbidden(_path):
    raise PermissionError


def add_many(path, first):
    for number in range(first, first + 10):
        KeyFile(path).add(f"user{number}", admin=False)


class TestTheFile:
    def test_it_holds_no_key(self, file, path):
        key = file.add("alice", admin=False)
        assert key.startswith(PREFIX)
        assert key.removeprefix(PREFIX) not in path.read_text()

    def test_no_two_keys_are_alike(self, file):
        keys = {file.add(f"user{number}", admin=False) for number in range(5)}
        assert len(keys) == 5
        assert all(len(key) == len(PREFIX) + 43 for key in keys)  # 256 bits in base64

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
    def test_only_its_owner_may_read_it(self, file, path):
        file.add("alice", admin=False)
        file.add("bob", admin=False)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_name_has_one_key(self, file):
        file.add("alice", admin=False)
        with pytest.raises(ConfigError, match="'alice' already has a key"):
            file.add("alice", admin=True)
        assert [key.admin for key in file.read()] == [False]

    @pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "a\nb", "a\n", "é", "x" * 65])
    def test_what_cannot_be_a_name_is_refused(self, file, path, name):
        with pytest.raises(ConfigError, match="cannot be the name of a key; allowed are up to 64 letters"):
            file.add(name, admin=False)
        assert not path.exists()

    def test_a_name_nobody_has_cannot_be_revoked(self, file):
        file.add("alice", admin=False)
        with pytest.raises(ConfigError, match="no key has the name 'bob'"):
            file.revoke("bob")

    def test_changes_at_the_same_time_are_all_kept(self, file, path):
        context = multiprocessing.get_context("spawn")
        writers = [context.Process(target=add_many, args=(path, first)) for first in (0, 10, 20)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(60)
        assert {key.name for key in file.read()} == {f"user{number}" for number in range(30)}

    def test_a_change_leaves_no_other_copy(self, file, path):
        file.add("alice", admin=False)
        file.revoke("alice")
        assert {found.name for found in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}


class TestWhoGetsIn:
    def test_a_key_is_recognised(self, file, path):
        alice, root = file.add("alice", admin=False), file.add("root", admin=True)
        keys = ApiKeys(path)
        assert (keys.find(alice).name, keys.find(alice).admin) == ("alice", False)
        assert (keys.find(root).name, keys.find(root).admin) == ("root", True)

    def test_nothing_else_is(self, file, path):
        key = file.add("alice", admin=False)
        keys = ApiKeys(path)
        stored = json.loads(path.read_text())[0]["sha256"]
        for other in ("", "alice", key[:-1], key + "x", key.upper(), PREFIX, stored, "é"):
            assert keys.find(other) is None

    def test_a_new_key_counts_at_once(self, file, path):
        file.add("alice", admin=False)
        keys = ApiKeys(path)
        bob = file.add("bob", admin=False)
        assert keys.find(bob).name == "bob"

    def test_a_revoked_key_is_worthless_at_once(self, file, path):
        alice, bob = file.add("alice", admin=False), file.add("bob", admin=False)
        keys = ApiKeys(path)
        file.revoke("alice")
        assert keys.find(alice) is None
        assert keys.find(bob).name == "bob"

    def test_a_name_that_gets_another_key_loses_the_old_one(self, file, path):
        old = file.add("alice", admin=False)
        keys = ApiKeys(path)
        file.revoke("alice")
        new = file.add("alice", admin=False)
        assert keys.find(old) is None
        assert keys.find(new).name == "alice"

    def test_without_any_key_nobody_gets_in(self, file, path):
        key = file.add("alice", admin=False)
        file.revoke("alice")
        assert ApiKeys(path).find(key) is None


class TestABrokenFile:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[{",
            b"{}",
            b"\xff\xfe",
            b'[{"name": "alice"}]',
            b'[{"name": "alice", "sha256": "", "created_at": "2026-01-01T00:00:00Z"}]',
        ],
    )
    def test_nobody_gets_in(self, file, path, content, caplog):
        key = file.add("alice", admin=False)
        keys = ApiKeys(path)
        path.write_bytes(content)
        with pytest.raises(KeysUnavailable):
            keys.find(key)
        assert not keys.readable
        assert f"every request is refused: api_keys: {path} cannot be read" in caplog.text

    def test_the_log_says_it_once(self, path, caplog):
        keys = ApiKeys(path)
        for _ in range(3):
            assert not keys.readable
        assert caplog.text.count("every request is refused: api_keys: there is no file") == 1

    def test_it_counts_again_once_it_is_mended(self, file, path):
        key = file.add("alice", admin=False)
        content = path.read_bytes()
        keys = ApiKeys(path)
        path.unlink()
        assert not keys.readable
        path.write_bytes(content)
        assert keys.find(key).name == "alice"

    @pytest.mark.skipif(os.name == "nt", reason="Windows does not tell when a mode was changed")
    def test_it_counts_once_we_may_read_it(self, file, path, monkeypatch):
        key = file.add("alice", admin=False)
        with monkeypatch.context() as without_rights:
            without_rights.setattr(Path, "read_bytes", _forbidden)
            keys = ApiKeys(path)
        assert not keys.readable
        path.chmod(0o640)
        assert keys.find(key).name == "alice"

    def test_it_is_not_overwritten(self, file, path):
        path.write_text("something else")
        with pytest.raises(ConfigError, match="cannot be read"):
            file.add("alice", admin=False)
        assert path.read_text() == "something else"
