"""Which of several task managers on one journal hands out work."""

import contextlib

from serve_app.errors import StorageFull
from serve_app.settings import LONGEST_LEASE_S
from serve_app.tasks.journal import Journal

# A manager that misses one renewal, or two, is still alive.
_RENEWALS_PER_LEASE = 3

_CLOCK_DIFFERENCE_S = 60.0


class Leadership:
    """The manager that came last leads, while it is alive; the others let their running work finish.

    When a cluster replaces another, both run for a while. A manager counts as alive for `lease_s` after it
    last said so; the clocks must agree within some seconds. One that died with a clock far ahead counts as
    dead.

    Args:
        journal: the journal that the managers share.
        name: of this manager; it keeps its rank when it starts anew with the same name.
        lease_s: seconds after which a silent manager counts as dead; at most `LONGEST_LEASE_S`.
    """

    def __init__(self, journal: Journal, name: str, lease_s: float):
        self.name = name
        self._journal = journal
        self._lease_s = lease_s
        self._renewed_at = float("-inf")
        self._alive: list[str] = []

    def renew(self, now: float) -> bool:
        """Tell the others that we are alive; returns whether others are, or were until now."""
        # Also where the clock was set back: our word would outlast us by as much.
        if not 0 <= now - self._renewed_at < self._lease_s / _RENEWALS_PER_LEASE:
            self._renew(now)
        # Where nobody could say so, on a full disk, the one that asks is alive all the same.
        alive = self._journal.live_managers(now, now + LONGEST_LEASE_S + _CLOCK_DIFFERENCE_S)
        before, self._alive = self._alive, alive or [self.name]
        return not (self.alone and before == self._alive)

    @property
    def leading(self) -> bool:
        """Whether this manager hands out work."""
        return self._alive[:1] == [self.name]

    @property
    def alone(self) -> bool:
        """Whether no other manager lives."""
        return self._alive == [self.name]

    def is_alive(self, name: str) -> bool:
        """Whether the manager with this name still watches over what it handed out."""
        return name in self._alive

    def _renew(self, now: float) -> None:
        with contextlib.suppress(StorageFull):
            self._journal.renew_manager(self.name, now + self._lease_s)
            self._renewed_at = now
