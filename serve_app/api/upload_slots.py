"""How many uploads are received at once, so that other requests are answered in between."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.errors import QueueFull

_RETRY_AFTER_S = 5


class UploadSlots:
    """Slots for requests that bring files.

    Args:
        total: slots in all.
        per_owner: slots that one owner may hold; requests without an owner count towards the total only.
    """

    def __init__(self, total: int, per_owner: int):
        self._total = total
        self._per_owner = per_owner
        self._held: Counter[str | None] = Counter()

    @contextmanager
    def hold(self, owner: str | None) -> Iterator[None]:
        """A slot for a request of this owner.

        Raises:
            QueueFull: all slots are held, or all that this owner may hold.
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
