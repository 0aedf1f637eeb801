"""Limits how many uploads are received at the same time, so that other requests are answered meanwhile."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.errors import QueueFull

_RETRY_AFTER_S = 5


class UploadSlots:
    """Slots for requests with uploads.

    Args:
        total: number of slots.
        per_owner: maximum for one owner; requests without an owner are limited only by the total.
    """

    def __init__(self, total: int, per_owner: int):
        self._total = total
        self._per_owner = per_owner
        self._held: Counter[str | None] = Counter()

    @contextmanager
    def hold(self, owner: str | None) -> Iterator[None]:
        """Hold a slot for a request of this owner.

        Raises:
            QueueFull: all slots are taken, or the owner has the maximum.
        """
        held = self._held.total()
        if held >= self._total:
            raise QueueFull(f"{held} uploads are being received", _RETRY_AFTER_S)
        theirs = 0 if owner is None else self._held[owner]
        if theirs >= self._per_owner:
            raise QueueFull(f"{theirs} uploads of this API key are being received", _RETRY_AFTER_S)
        self._held[owner] += 1
        try:
            yield
        finally:
            self._held[owner] -= 1
