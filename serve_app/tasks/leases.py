"""How long an attempt may go without a report or without progress. Knows nothing of what it works on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from models.notices import Notice

# Of the time between two checks, at most this share of a lease counts against an attempt. After a longer
# gap, for example while the machine was asleep or the process suspended, reports may still be waiting.
_LEASES_PER_CHECK = 1 / 3


class AttemptKey(NamedTuple):
    """Which attempt at which task."""

    task_id: str
    attempt: int


@dataclass
class _Lease:
    """When an attempt last reported and when its counter last rose, by the steady clock."""

    reported_at: float
    progressed_at: float
    counter: int = -1

    def extend(self, seconds: float, now: float) -> None:
        self.reported_at = min(now, self.reported_at + seconds)
        self.progressed_at = min(now, self.progressed_at + seconds)


class Leases:
    """Decides which attempts are to be given up.

    Args:
        lease_s: seconds without a report after which an attempt is given up.
        stall_timeout_s: seconds without progress after which an attempt is given up.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, lease_s: float, stall_timeout_s: float, clock: Callable[[], float]):
        self._lease_s = lease_s
        self._stall_timeout_s = stall_timeout_s
        self._clock = clock
        self._leases: dict[AttemptKey, _Lease] = {}
        self._checked_at = clock()

    def begin(self, key: AttemptKey) -> None:
        """Grant an attempt a full lease, unless it has one."""
        self._lease(key)

    def renew(self, key: AttemptKey, counter: int) -> None:
        """Record a report; a counter above every earlier one is progress."""
        now, lease = self._clock(), self._lease(key)
        lease.reported_at = now
        if counter > lease.counter:
            lease.counter, lease.progressed_at = counter, now

    def keep(self, running: Iterable[AttemptKey]) -> None:
        """Begin leases for those of these attempts that have none, and forget all other attempts."""
        self._leases = {key: self._lease(key) for key in running}

    def check(self, running: Iterable[AttemptKey]) -> dict[AttemptKey, Notice]:
        """Which of these attempts are to be given up, and why; to be called every second."""
        now = self._clock()
        self._forgive_gap(now)
        reasons = {key: self._reason(self._lease(key), now) for key in running}
        return {key: reason for key, reason in reasons.items() if reason}

    def _lease(self, key: AttemptKey) -> _Lease:
        now = self._clock()
        return self._leases.setdefault(key, _Lease(reported_at=now, progressed_at=now))

    def _forgive_gap(self, now: float) -> None:
        unchecked = now - self._checked_at - self._lease_s * _LEASES_PER_CHECK
        self._checked_at = now
        if unchecked > 0:
            for lease in self._leases.values():
                lease.extend(unchecked, now)

    def _reason(self, lease: _Lease, now: float) -> Notice | None:
        if now - lease.reported_at > self._lease_s:
            return Notice.of("no_report", seconds=self._lease_s)
        if now - lease.progressed_at > self._stall_timeout_s:
            return Notice.of("no_progress", seconds=self._stall_timeout_s)
        return None
