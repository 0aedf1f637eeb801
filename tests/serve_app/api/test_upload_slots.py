"""Each request with uploads takes a slot; when there is none it is told when to retry."""

from contextlib import ExitStack

import pytest

from serve_app.api.upload_slots import UploadSlots
from serve_app.errors import QueueFull


@pytest.fixture
def hold():
    """Holds slots until the test is over: (slots, owner, ...)."""
    with ExitStack() as stack:
        yield lambda slots, *owners: [stack.enter_context(slots.hold(owner)) for owner in owners]


def test_one_more_than_there_are_slots_is_refused(hold):
    slots = UploadSlots(2, 2)
    hold(slots, None, None)
    with pytest.raises(QueueFull, match="2 uploads are being received") as refused:
        hold(slots, None)
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_a_slot_that_was_left_can_be_held():
    slots = UploadSlots(1, 1)
    for _ in range(3):
        with slots.hold("ann"):
            pass


def test_a_request_that_fails_leaves_its_slot(hold):
    slots = UploadSlots(1, 1)
    with pytest.raises(KeyError), slots.hold("ann"):
        raise KeyError
    hold(slots, "ann")


def test_one_owner_cannot_hold_every_slot(hold):
    slots = UploadSlots(3, 2)
    hold(slots, "ann", "ann")
    with pytest.raises(QueueFull, match="2 uploads of this API key"):
        hold(slots, "ann")
    hold(slots, "bob")


def test_requests_without_an_owner_are_not_one(hold):
    slots = UploadSlots(3, 1)
    hold(slots, None, None, "ann")
