"""Fetch the published weights: `python -m models.echomimic.weights.download DIR`.

The first download records a commit; all later ones complete and repair that commit.
`HF_ENDPOINT` names another hub. Knows nothing of networks.
"""

import argparse
import shutil
import sys
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoSibling

from models.echomimic.weights.layout import CONFIG, SUFFIXES, stems
from models.echomimic.weights.lock import Lock, LockedFile, read_lock
from models.echomimic.weights.variants import VARIANTS, Variant
from models.errors import CheckpointError

REPOSITORY = "BadToBest/EchoMimic"
FIRST_REVISION = "main"
PART = ".part"


def fetch(folder: Path, variant: Variant = "acc", hub: str = constants.ENDPOINT) -> Lock:
    """Bring a folder to the state that its lock describes, and write the lock where there is none.

    Intact files stay; interrupted ones are resumed.

    Args:
        folder: where the weights go.
        variant: which pair of denoiser and motion modules.
        hub: its address; `HF_ENDPOINT` by default.

    Raises:
        CheckpointError: the hub cannot be reached or lacks a file, the disk is too small, or the content
            does not have the hash that the hub states.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = read_lock(folder) or _resolve(hub)
        lock.write(folder)  # before the first byte, so that a cut download continues with the same commit
        missing = [file for file in lock.needed(variant) if not _intact(file, folder)]
        _check_disk(missing, folder)
        for file in missing:
            _announce(file)
            _fetch(file, hf_hub_url(REPOSITORY, file.path, revision=lock.commit, endpoint=hub), folder)
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise CheckpointError(f"the download from {hub} failed: {error}") from error
    return lock


def _resolve(hub: str) -> Lock:
    """The current commit and every file that any variant could use."""
    info = HfApi(endpoint=hub).model_info(REPOSITORY, revision=FIRST_REVISION, files_metadata=True)
    if info.sha is None:
        raise CheckpointError(f"{hub} names no commit for {REPOSITORY}")
    return Lock(
        REPOSITORY,
        info.sha,
        tuple(_locked(file) for file in info.siblings or () if file.rfilename in _usable()),
    )


def _usable() -> set[str]:
    groups = (group for variant in VARIANTS for group in stems(variant).values())
    return {stem + suffix for group in groups for stem in group for suffix in SUFFIXES} | {str(CONFIG)}


def _locked(file: RepoSibling) -> LockedFile:
    sha256 = file.lfs.sha256 if file.lfs else None
    if file.size is None or not (sha256 or file.blob_id):
        raise CheckpointError(f"the hub states no size or no hash of {file.rfilename}")
    return LockedFile(file.rfilename, file.size, sha256, None if sha256 else file.blob_id)


def _intact(file: LockedFile, folder: Path) -> bool:
    try:
        file.check(folder)
    except CheckpointError:
        return False
    return True


def _check_disk(missing: list[LockedFile], folder: Path) -> None:
    # A damaged file is deleted before it is fetched again.
    there = sum(_size(folder / name) for file in missing for name in (file.path, file.path + PART))
    needed = sum(file.size for file in missing) - there
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"the download needs {needed / 1e9:.1f} GB more in {folder}; {free / 1e9:.1f} GB are free"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _announce(file: LockedFile) -> None:
    """A line where there is no terminal: huggingface_hub draws its bars on one only."""
    if not sys.stderr.isatty():
        print(f"{file.path} ({file.size / 1e6:.0f} MB)", file=sys.stderr, flush=True)


def _fetch(file: LockedFile, url: str, folder: Path) -> None:
    target = folder / file.path
    part = folder / (file.path + PART)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if _size(part) > file.size:
        part.unlink()
    with part.open("ab") as content:
        http_get(
            url,
            content,
            resume_size=content.tell(),
            expected_size=file.size,
            displayed_filename=file.path,
        )
    _accept(file, part, target, folder)


def _accept(file: LockedFile, part: Path, target: Path, folder: Path) -> None:
    """Give a file its name once its content is verified; wrong content is deleted, not resumed."""
    part.replace(target)
    try:
        file.check(folder)
    except CheckpointError:
        target.unlink()
        raise


def main() -> int:
    """Fetch the weights named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m models.echomimic.weights.download", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the weights go")
    parser.add_argument("--variant", choices=VARIANTS, default="acc", help="the accelerated one, or the base")
    options = parser.parse_args()
    try:
        lock = fetch(options.folder, options.variant)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.folder} holds {lock.repository} at commit {lock.commit}, intact.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
