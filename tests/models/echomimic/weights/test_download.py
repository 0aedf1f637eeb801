"""Fetching the published weights, from a hub on loopback."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from models.echomimic.weights.download import fetch
from models.echomimic.weights.lock import LOCK, read_lock
from models.errors import CheckpointError
from tests.models.echomimic.weights.hub import Hub, serve
from tests.terminal import on_terminal

FIRST, SECOND = "a" * 40, "b" * 40
DENOISER = "denoising_unet_acc.pth"
VAE = "sd-vae-ft-mse/diffusion_pytorch_model"
NEEDED = {
    DENOISER: bytes(range(256)) * 40,
    "motion_module_acc.pth": b"motion" * 300,
    "reference_unet.pth": b"reference" * 200,
    "face_locator.pth": b"small: kept in git",
    "audio_processor/whisper_tiny.pt": b"whisper" * 200,
    f"{VAE}.safetensors": b"vae" * 500,
    "sd-image-variations-diffusers/unet/config.json": b"{}",
}
BASE = {"denoising_unet.pth": b"base" * 400, "motion_module.pth": b"slow" * 400}
OTHERS = {"README.md": b"hello", f"{VAE}.bin": b"again" * 300, "denoising_unet_pose.pth": b"pose" * 300}


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub({FIRST: {**NEEDED, **BASE, **OTHERS}}, FIRST)
    with serve(hub):
        yield hub


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for the lock."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != LOCK}


def test_exactly_the_needed_files_come(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path, hub=hub.url)
    assert files(tmp_path) == NEEDED


def test_the_base_variant_shares_what_it_can(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path, hub=hub.url)
    hub.asked.clear()
    fetch(tmp_path, "base", hub=hub.url)
    assert files(tmp_path) == {**NEEDED, **BASE}
    assert {path for path, _ in hub.asked} == set(BASE)


def test_the_lock_holds_the_commit_and_the_hubs_hashes(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path, hub=hub.url)
    lock = read_lock(tmp_path)
    assert lock is not None
    assert (lock.repository, lock.commit) == ("BadToBest/EchoMimic", FIRST)
    hashed = {file.path: (file.sha256, file.git_sha1) for file in lock.files}
    assert set(hashed) == {*NEEDED, *BASE, f"{VAE}.bin"}
    # git hash-object of "small: kept in git" and sha256sum of "motion" three hundred times
    assert hashed["face_locator.pth"] == (None, "b468d769baf935b54a3b821b7d40a99a07f089a6")
    assert hashed["motion_module_acc.pth"] == (
        "956a0fd38bdd9ea891e0c76ed2c39a28bdc985ad4d106a703c58faa02e003ab1",
        None,
    )
    lock.check(tmp_path, "acc")


def test_nothing_is_fetched_twice_and_no_hub_is_needed_then(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path, hub=hub.url)
    hub.asked.clear()
    hub.commits.clear()
    fetch(tmp_path, hub=hub.url)
    assert hub.asked == []


def test_a_cut_connection_is_continued(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # less is lost with a cut, as files are small
    hub.commits[FIRST] = {**NEEDED}
    hub.cuts = [4000] * len(NEEDED)  # the denoiser alone is longer
    fetch(tmp_path, hub=hub.url)
    assert files(tmp_path) == NEEDED
    assert [ranged for path, ranged in hub.asked if path == DENOISER] == [None, "bytes=4000-", "bytes=8000-"]


def test_a_later_start_continues_what_an_earlier_one_began(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path, hub=hub.url)
    (tmp_path / DENOISER).unlink()
    (tmp_path / f"{DENOISER}.part").write_bytes(NEEDED[DENOISER][:7000])
    hub.asked.clear()
    fetch(tmp_path, hub=hub.url)
    assert files(tmp_path) == NEEDED
    assert hub.asked == [(DENOISER, "bytes=7000-")]


def test_a_hub_that_fails_leaves_what_has_come_for_the_next_start(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path, hub=hub.url)
    (tmp_path / DENOISER).unlink()
    (tmp_path / f"{DENOISER}.part").write_bytes(NEEDED[DENOISER][:7000])
    hub.down = True
    with pytest.raises(CheckpointError, match=rf"{hub.url} failed.*503"):
        fetch(tmp_path, hub=hub.url)
    assert (tmp_path / f"{DENOISER}.part").stat().st_size == 7000


@pytest.mark.parametrize("path", [DENOISER, "face_locator.pth"])
@pytest.mark.parametrize(
    "damage", [lambda old: old[:-1] + b"?", lambda old: old[:-1], lambda old: old + b"?"]
)
def test_a_damaged_file_is_found_and_fetched_again(
    hub: Hub, tmp_path: Path, path: str, damage: Callable[[bytes], bytes]
) -> None:
    lock = fetch(tmp_path, hub=hub.url)
    (tmp_path / path).write_bytes(damage(NEEDED[path]))
    with pytest.raises(CheckpointError, match=path):
        lock.check(tmp_path, "acc")
    hub.asked.clear()
    fetch(tmp_path, hub=hub.url)
    assert files(tmp_path) == NEEDED
    assert hub.asked == [(path, None)]


@pytest.mark.parametrize("path", [DENOISER, "face_locator.pth"])
def test_what_the_hub_spoils_is_refused_and_not_kept(hub: Hub, tmp_path: Path, path: str) -> None:
    hub.spoilt = {path}
    with pytest.raises(CheckpointError, match=rf"{path} has the hash \w+; expected \w+"):
        fetch(tmp_path, hub=hub.url)
    assert not list(tmp_path.glob(f"{path}*"))
    hub.spoilt = set()
    fetch(tmp_path, hub=hub.url)
    assert files(tmp_path) == NEEDED


def test_a_moved_main_does_not_move_a_locked_folder(hub: Hub, tmp_path: Path) -> None:
    fetch(tmp_path, hub=hub.url)
    hub.commits[SECOND] = {path: content + b" newer" for path, content in NEEDED.items()}
    hub.main = SECOND
    (tmp_path / "reference_unet.pth").unlink()
    assert fetch(tmp_path, hub=hub.url).commit == FIRST
    assert files(tmp_path) == NEEDED


def test_a_download_that_was_cut_short_keeps_its_commit(hub: Hub, tmp_path: Path) -> None:
    hub.down = True
    with pytest.raises(CheckpointError):
        fetch(tmp_path, hub=hub.url)
    hub.commits[SECOND] = dict.fromkeys(NEEDED, b"newer")
    hub.main, hub.down = SECOND, False
    assert fetch(tmp_path, hub=hub.url).commit == FIRST
    assert files(tmp_path) == NEEDED


def test_too_little_disk_is_refused_with_numbers_before_anything_comes(hub: Hub, tmp_path: Path) -> None:
    hub.sizes = {DENOISER: 10**18}
    with pytest.raises(CheckpointError, match=r"needs 1000000000\.0 GB more in .*; \d+\.\d GB are free"):
        fetch(tmp_path, hub=hub.url)
    assert hub.asked == []


def test_a_repository_without_a_needed_file_is_refused(hub: Hub, tmp_path: Path) -> None:
    del hub.commits[FIRST][DENOISER]
    with pytest.raises(CheckpointError, match=rf"no denoising_unet_acc at commit {FIRST}"):
        fetch(tmp_path, hub=hub.url)


def test_a_broken_lock_is_named(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text('{"commit": 1}')
    with pytest.raises(CheckpointError, match=f"{LOCK} is not a lock file"):
        fetch(tmp_path, hub=hub.url)


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "models.echomimic.weights.download", str(folder)]


def surroundings(endpoint: str) -> dict[str, Any]:
    return {"env": {**os.environ, "HF_ENDPOINT": endpoint}, "cwd": Path(__file__).parents[4]}


def piped(folder: Path, endpoint: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder), capture_output=True, text=True, check=False, **surroundings(endpoint)
    )


def test_the_command_asks_the_endpoint_it_is_given_and_names_each_file_once(hub: Hub, tmp_path: Path) -> None:
    done = piped(tmp_path, hub.url)
    assert done.returncode == 0, done.stderr
    assert f"BadToBest/EchoMimic at commit {FIRST}, intact" in done.stdout
    assert sorted(line.rsplit(" (", 1)[0] for line in done.stderr.splitlines()) == sorted(NEEDED)
    assert files(tmp_path) == NEEDED


def test_the_command_shows_bars_on_a_terminal(hub: Hub, tmp_path: Path) -> None:
    shown = on_terminal(command(tmp_path), **surroundings(hub.url))
    assert f"{DENOISER}: 100%" in shown
    assert f"{DENOISER} (" not in shown


def test_the_command_fails_in_one_line_where_nobody_answers(tmp_path: Path) -> None:
    done = piped(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("the download from http://127.0.0.1:9 failed")
    assert len(done.stderr.splitlines()) == 1
