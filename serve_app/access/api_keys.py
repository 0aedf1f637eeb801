"""Who may use the service: a file of API keys. Holds hashes, never a key."""

import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

from filelock import FileLock
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from serve_app.errors import ConfigError, KeysUnavailable
from serve_app.storage import private_file

# Shows people, and scanners that look for leaked secrets, what the key is for.
PREFIX = "echomimic_"

_KEY_BYTES = 32

logger = logging.getLogger("ray.serve")


class ApiKey(BaseModel):
    """What is kept of a key.

    Attributes:
        name: who holds it; tasks belong to this name.
        sha256: of the key, in hexadecimal digits.
        admin: whether it sees the tasks of all keys.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    admin: bool = False
    created_at: AwareDatetime


Keys = tuple[ApiKey, ...]

_JSON: TypeAdapter[Keys] = TypeAdapter(Keys)


class KeyFile:
    """The file of keys, to read and change it.

    Args:
        path: a JSON list of keys; created by the first `add`.
    """

    def __init__(self, path: Path):
        self._path = path

    def read(self) -> Keys:
        """All keys, in the order they were added.

        Raises:
            ConfigError: the file does not exist, or is not a list of keys.
        """
        try:
            return _JSON.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            message = f"there is no file {self._path}; 'python -m serve_app.keys add NAME' creates it"
            raise ConfigError(f"api_keys: {message}") from None
        except (OSError, ValidationError) as error:
            raise ConfigError(f"api_keys: {self._path} cannot be read: {error}") from error

    def add(self, name: str, *, admin: bool) -> str:
        """Make a key for a name that has none; returns the key, which cannot be recovered later.

        Raises:
            ConfigError: the name already has a key or is not allowed, or the file cannot be read.
        """
        key = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        entry = _entry(name, key, admin)

        def append(keys: Keys) -> Keys:
            if any(known.name == name for known in keys):
                raise ConfigError(f"the name {name!r} already has a key; revoke it first")
            return (*keys, entry)

        self._change(append)
        return key

    def revoke(self, name: str) -> None:
        """Revoke the key of this name.

        Raises:
            ConfigError: no key has this name, or the file cannot be read.
        """

        def remove(keys: Keys) -> Keys:
            left = tuple(known for known in keys if known.name != name)
            if len(left) == len(keys):
                raise ConfigError(f"no key has the name {name!r}")
            return left

        self._change(remove)

    def _change(self, change: Callable[[Keys], Keys]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Without the lock, one of two simultaneous changes would be lost, perhaps a revocation.
        with FileLock(self._path.with_name(self._path.name + ".lock")):
            keys = self.read() if self._path.exists() else ()
            private_file.replace(self._path, _JSON.dump_json(change(keys), indent=1))


class ApiKeys:
    """The keys as they are now: a change of the file applies from the next request on.

    Args:
        path: the file of keys. While it is missing or broken every request is refused, and the log says why.
    """

    def __init__(self, path: Path):
        self._path = path
        self._file = KeyFile(path)
        self._version: object = object()
        self._keys: Keys | None = None
        self._refresh()

    @property
    def readable(self) -> bool:
        """Whether the file can be read; if not, every request is refused."""
        return self._refresh() is not None

    def find(self, key: str) -> ApiKey | None:
        """The entry of a key that was sent, or None if it is unknown; takes equally long for every key.

        Raises:
            KeysUnavailable: the file is missing or broken.
        """
        digest, found = _digest(key), None
        for known in self._current():
            if hmac.compare_digest(known.sha256, digest):
                found = known
        return found

    def named(self, name: str) -> ApiKey | None:
        """The key of this name, or None.

        Raises:
            KeysUnavailable: the file is missing or broken.
        """
        return next((key for key in self._current() if key.name == name), None)

    def _current(self) -> Keys:
        keys = self._refresh()
        if keys is None:
            raise KeysUnavailable
        return keys

    def _refresh(self) -> Keys | None:
        # Taken before the file is read, so that a change in between is noticed next time.
        version = _version(self._path)
        if version != self._version:
            self._version = version
            self._keys = self._read()
        return self._keys

    def _read(self) -> Keys | None:
        try:
            return self._file.read()
        except ConfigError as error:
            logger.error("every request is refused: %s", error)
            return None


def _entry(name: str, key: str, admin: bool) -> ApiKey:
    created_at = datetime.now(timezone.utc).replace(microsecond=0)
    try:
        return ApiKey(name=name, sha256=_digest(key), admin=admin, created_at=created_at)
    except ValidationError:
        allowed = "up to 64 letters, digits and . _ @ -, beginning with a letter or digit"
        raise ConfigError(f"{name!r} cannot be the name of a key; allowed are {allowed}") from None


def _digest(key: str) -> str:
    # 256 random bits cannot be guessed, however fast the hash. Slow hashes are for passwords that people
    # choose, and would cost every request some 100 ms.
    return hashlib.sha256(key.encode()).hexdigest()


def _version(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the file does."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    # st_ctime covers changes of owner and mode, after which the file may have become readable.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
