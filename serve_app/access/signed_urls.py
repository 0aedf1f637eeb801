"""URLs that open one file for a short time, for browsers, which cannot add a header to a download."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from serve_app.access.api_keys import ApiKey, ApiKeys
from serve_app.errors import LinkRefused
from serve_app.storage import private_file

_SECRET_BYTES = 32


class UrlSigner:
    """Signs paths for reading (GET and HEAD) on behalf of a key, and recognises what it signed.

    Args:
        secret_file: holds the secret of the signatures; created by the first replica that starts.
        keys: the keys on whose behalf URLs are signed.
        lifetime_s: seconds for which a URL is valid.
        clock: seconds since the epoch.
    """

    def __init__(
        self, secret_file: Path, keys: ApiKeys, lifetime_s: float, clock: Callable[[], float] = time.time
    ):
        self._secret = private_file.create(secret_file, secrets.token_bytes(_SECRET_BYTES))
        self._keys = keys
        self._lifetime_s = lifetime_s
        self._clock = clock

    def sign(self, path: str, key: ApiKey) -> str:
        """The path with a query that opens it as this key does, until it expires or the key is revoked."""
        expires = str(int(self._clock() + self._lifetime_s))
        query = {"key": key.name, "expires": expires, "signature": self._signature(path, expires, key)}
        return f"{path}?{urlencode(query)}"

    def signed_by(self, path: str, query: Mapping[str, str]) -> ApiKey:
        """The key for which this path was signed.

        Raises:
            LinkRefused: the URL has expired or was altered, or the key was revoked.
            KeysUnavailable: the file of keys is missing or broken.
        """
        expires = query.get("expires", "")
        key = self._keys.named(query.get("key", ""))
        if key is None or not hmac.compare_digest(
            self._signature(path, expires, key).encode(), query["signature"].encode()
        ):
            raise LinkRefused(
                "the link was altered, or the key it was made for was revoked", field="signature"
            )
        if self._clock() >= int(expires):
            raise LinkRefused("the link has expired; GET /task/{task_id} gives a new one", field="expires")
        return key

    def _signature(self, path: str, expires: str, key: ApiKey) -> str:
        # With the key's hash, so that links become invalid with their key even if a new key gets its name. As
        # JSON, so that no two different lists of parts give the same text.
        parts = json.dumps(["read", path, expires, key.name, key.sha256])
        return hmac.new(self._secret, parts.encode(), hashlib.sha256).hexdigest()
