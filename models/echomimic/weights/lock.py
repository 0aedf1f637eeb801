"""Which published weights are in a folder, and whether they are intact. Knows nothing of networks or of HTTP.

The lock file holds what the hub stated when the weights were first fetched: the commit, and the size and hash
of every file.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from models.echomimic.weights.layout import CONFIG, SUFFIXES, stems
from models.echomimic.weights.variants import Variant
from models.errors import CheckpointError

LOCK = "weights.lock.json"
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class LockedFile:
    """One file as the hub knows it.

    Attributes:
        path: below the folder, with slashes.
        size: bytes.
        sha256: of the content, for large files; None for small ones.
        git_sha1: of the content as a git blob, for small files; None for large ones, whose blob is a pointer.
    """

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None

    def check(self, folder: Path) -> None:
        """Compare with the file in the folder.

        Raises:
            CheckpointError: it is missing, or has a different size or hash.
        """
        path = folder / self.path
        if not path.is_file():
            raise CheckpointError(f"{path} is missing")
        found = path.stat().st_size
        if found != self.size:
            raise CheckpointError(f"{path} has {found:,} bytes; expected {self.size:,}")
        found_hash = self._hash(path)
        if found_hash != self.hash:
            raise CheckpointError(f"{path} has the hash {found_hash}; expected {self.hash}; it is damaged")

    @property
    def hash(self) -> str | None:
        """The hash that the content must have."""
        return self.sha256 or self.git_sha1

    def _hash(self, path: Path) -> str:
        if self.sha256:
            digest = hashlib.sha256()
        else:
            digest = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()


@dataclass(frozen=True)
class Lock:
    """A commit of the published repository, and those of its files that an engine could use."""

    repository: str
    commit: str
    files: tuple[LockedFile, ...]

    def needed(self, variant: Variant) -> Iterator[LockedFile]:
        """The preferred published format of each network's file, and the configuration if there is one.

        Raises:
            CheckpointError: a network's file is not published in any format.
        """
        published = {file.path: file for file in self.files}
        for stem in (stem for group in stems(variant).values() for stem in group):
            forms = [published[stem + suffix] for suffix in SUFFIXES if stem + suffix in published]
            if not forms:
                raise CheckpointError(
                    f"{self.repository} has no {stem} at commit {self.commit}; "
                    f"looked for {', '.join(SUFFIXES)}"
                )
            yield forms[0]
        if str(CONFIG) in published:
            yield published[str(CONFIG)]

    def check(self, folder: Path, variant: Variant) -> None:
        """Check every needed file in the folder; raises CheckpointError at the first that differs."""
        for file in self.needed(variant):
            file.check(folder)

    def write(self, folder: Path) -> None:
        """Write the lock file next to the weights, atomically."""
        unfinished = folder / f"{LOCK}.part"
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n")
        unfinished.replace(folder / LOCK)


def read_lock(folder: Path) -> Lock | None:
    """The lock of a folder; None if there is none.

    Raises:
        CheckpointError: the lock file cannot be read.
    """
    path = folder / LOCK
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
        files = tuple(LockedFile(**file) for file in content["files"])
        return Lock(content["repository"], content["commit"], files)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not a lock file ({error!r}); delete it to start over") from error
