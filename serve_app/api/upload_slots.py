"""How many uploads are worked on at once, so that whoever only asks for a task finds an answer in between."""

from collections import Counter

from serve_app.errors import QueueFull

_RETRY_AFTER_S = 5


class UploadSlots:
    """UploadSlots for requests that bring files.

    Args:
        most: places in all.
        most_per_owner: of one owner; requests without an owner count in all only.
    """

    def __init__(self, most: int, most_per_owner: int):
        self._most = most
        self._most_per_owner = most_per_owner
        self._taken: Counter[str | None] = Counter()

    def take(self, owner: str | None) -> None:
        """Give a request of this owner a place, until `leave`.

        Raises:
            QueueFull: all places are taken, or all that this owner may have.
        """
        taken = self._taken.total()
        if taken >= self._most:
            raise QueueFull(f"{taken} uploads are being received", _RETRY_AFTER_S)
        theirs = 0 if owner is None else self._taken[owner]
        if theirs >= self._most_per_owner:
            raise QueueFull(f"{theirs} uploads of this API key are being received", _RETRY_AFTER_S)
        self._taken[owner] += 1

    def leave(self, owner: str | None) -> None:
        """Give a place back."""
        self._taken[owner] -= 1
