"""Which of several task managers on one journal hands out work."""

import contextlib

from serve_app.errors import StorageFull
from serve_app.settings import LONGEST_LEASE_S
from serve_app.tasks.journal import Journal

# A manager that misses one or two renewals still counts as alive.
_RENEWALS_PER_LEASE = 3

_CLOCK_DIFFERENCE_S = 60.0


class Leadership:
    """The newest manager leads while it is alive; the others let their running work finish.

    When one cluster replaces another, both run for a while. A manager counts as alive for `lease_s` after its
    last renewal; the clocks must agree within a few seconds. A manager that died while its clock was far
    ahead counts as dead.

    Args:
        journal: the journal that the managers share.
        name: of this manager; one that restarts with the same name keeps its rank.
        lease_s: seconds after which a silent manager counts as dead; at most `LONGEST_LEASE_S`.
    """

    def __init__(self, journal: Journal, name: str, lease_s: float):
        self.name = name
        self._journal = journal
        self._lease_s = lease_s
        self._renewed_at = float("-inf")
        self._alive: list[str] = []

    def renew(self, now: float) -> bool:
        """Record that this manager is alive; returns whether any other is, or was at the last call."""
        # Also if the clock was set back: what was recorded before would outlast this manager by as much.
        if not 0 <= now - self._renewed_at < self._lease_s / _RENEWALS_PER_LEASE:
            self._renew(now)
        # On a full disk no manager can record that it is alive; this one is, nevertheless.
        alive = self._journal.live_managers(now, now + LONGEST_LEASE_S + _CLOCK_DIFFERENCE_S)
        before, self._alive = self._alive, alive or [self.name]
        return not (self.alone and before == self._alive)

    @property
    def leading(self) -> bool:
        """Whether this manager hands out work."""
        return self._alive[:1] == [self.name]

    @property
    def alone(self) -> bool:
        """Whether no other manager is alive."""
        return self._alive == [self.name]

    def is_alive(self, name: str) -> bool:
        """Whether the manager with this name still watches over what it handed out."""
        return name in self._alive

    def _renew(self, now: float) -> None:
        with contextlib.suppress(StorageFull):
            self._journal.renew_manager(self.name, now + self._lease_s)
            self._renewed_at = now
