"""Tiny networks with rule weights, shared by all tests of the diffusion engine."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

# A laptop that only previews has no torch.
collect_ignore_glob = [] if find_spec("torch") else ["*test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The tiny networks gain nothing from a second thread, which waits for its turn where cores are busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def networks():
    from benchmarks.rules import Rules
    from models.echomimic.networks.config import TINY

    return Rules().networks(TINY)


@pytest.fixture(scope="session")
def layout(networks, tmp_path_factory):
    """A folder with the tiny networks' weights as they are published."""
    from benchmarks.layout import write_layout

    folder = tmp_path_factory.mktemp("layout")
    write_layout(networks, folder)
    return folder
