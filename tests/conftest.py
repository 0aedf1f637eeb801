"""What all tests share."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import Service, run_service

# Children inherit an ignored Ctrl-C, as shells set it for what runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the shipped configuration, shared by every test that leaves it in order."""
    with run_service(tmp_path_factory.mktemp("service"), max_upload_bytes=8 * 1024 * 1024) as running:
        yield running


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder beside the checkout that only some checkouts have."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("there is no shared folder beside this checkout")
    return folder
