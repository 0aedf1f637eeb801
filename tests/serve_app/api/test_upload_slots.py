"""Each request with uploads takes a place; when there is none it is told to come again."""

import pytest

from serve_app.api.upload_slots import UploadSlots
from serve_app.errors import QueueFull


def test_one_more_than_there_are_places_is_refused():
    places = UploadSlots(2, 2)
    places.take(None)
    places.take(None)
    with pytest.raises(QueueFull, match="2 uploads are being received") as refused:
        places.take(None)
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_a_place_that_was_left_can_be_taken():
    places = UploadSlots(1, 1)
    for _ in range(3):
        places.take("ann")
        places.leave("ann")


def test_one_owner_cannot_take_every_place():
    places = UploadSlots(3, 2)
    places.take("ann")
    places.take("ann")
    with pytest.raises(QueueFull, match="2 uploads of this API key"):
        places.take("ann")
    places.take("bob")


def test_requests_without_an_owner_are_not_one():
    places = UploadSlots(3, 1)
    places.take(None)
    places.take(None)
    places.take("ann")
