"""What the tests of the chaos share."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.chaos.campaign import Campaign, campaign


@pytest.fixture(scope="session")
def run_campaign() -> Callable[..., AbstractContextManager[Campaign]]:
    """`tests.chaos.campaign.campaign`."""
    return campaign
