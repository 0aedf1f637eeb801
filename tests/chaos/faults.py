"""What is done to the service. Each fault returns once the service could be whole again."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.chaos import cluster, processes
from tests.chaos.cluster import LEASE_S, STALL_TIMEOUT_S, Attempt, Cluster
from tests.chaos.journal import JournalReader
from tests.chaos.misses import Miss
from tests.service import poll

# Supervision looks once a second, and this machine may be busy. Serve itself gives up a replica that does not
# answer after 30 s and more: what the lease takes must be taken before.
_SLACK_S = 10.0


@dataclass(frozen=True)
class Site:
    """Where a fault happens, and what it leaves to chance."""

    cluster: Cluster
    journal: JournalReader
    chance: random.Random


Fault = Callable[[Site], None]


def engine_killed(site: Site) -> None:
    """SIGKILL of a replica that makes a video."""
    processes.kill([_any_attempt(site).replica])


def manager_killed(site: Site) -> None:
    """SIGKILL of the task manager."""
    _kill_any(site, cluster.MANAGER)


def ingress_killed(site: Site) -> None:
    """SIGKILL of one of the replicas that speak REST."""
    _kill_any(site, cluster.INGRESS)


def controller_killed(site: Site) -> None:
    """SIGKILL of Serve's controller."""
    _kill_any(site, cluster.CONTROLLER)


def proxy_killed(site: Site) -> None:
    """SIGKILL of the process that listens."""
    _kill_any(site, cluster.PROXY)


def serve_killed(site: Site) -> None:
    """SIGKILL of controller, proxy and one ingress replica at once."""
    _kill_any(site, cluster.CONTROLLER, cluster.PROXY, cluster.INGRESS)


def node_killed(site: Site) -> None:
    """A node with a replica loses its power, and another joins."""
    site.cluster.kill_node()
    site.cluster.add_node()


def engine_frozen(site: Site) -> None:
    """SIGSTOP of a replica until its task is made anew; then it wakes and finds itself fenced off."""
    attempt = _suspended(site, lambda attempt: attempt.replica)
    try:
        _wait_until_lost(site, attempt, LEASE_S)
        # Looked at often: a quick machine makes the whole video within a second.
        poll(lambda: _is_made_anew(site, attempt), interval_s=0.02)
    finally:
        _resume(attempt.replica)


def thread_stands_still(site: Site) -> None:
    """SIGSTOP of a replica's ffmpeg: its worker thread hangs in a write; the replica goes on reporting."""
    attempt = _suspended(site, lambda attempt: attempt.encoder)
    try:
        _wait_until_lost(site, attempt, STALL_TIMEOUT_S)
    finally:
        _resume(attempt.encoder)


def redeployed(site: Site) -> None:
    """New code and a new version of the task manager, deployed on the living cluster."""
    old = _code_holders(site)
    site.cluster.redeploy()
    poll(lambda: old.isdisjoint(_code_holders(site)))


def interrupted(site: Site) -> None:
    """Ctrl-C, and a new start."""
    site.cluster.interrupt()
    site.cluster.start()


def terminated(site: Site) -> None:
    """SIGTERM to everything at once, as from an operating system that shuts down, and a new start."""
    site.cluster.terminate()
    site.cluster.start()


def power_cut(site: Site) -> None:
    """SIGKILL of everything at once, and a new start."""
    site.cluster.kill()
    site.cluster.start()


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        engine_killed,
        manager_killed,
        ingress_killed,
        controller_killed,
        proxy_killed,
        serve_killed,
        node_killed,
        engine_frozen,
        thread_stands_still,
        redeployed,
        interrupted,
        terminated,
        power_cut,
    )
}


def _code_holders(site: Site) -> set[psutil.Process]:
    return {process for name in (cluster.MANAGER, cluster.INGRESS) for process in site.cluster.find(name)}


def _any_attempt(site: Site) -> Attempt:
    return site.chance.choice(poll(site.cluster.attempts, interval_s=0.02))


def _suspended(site: Site, part: Callable[[Attempt], psutil.Process]) -> Attempt:
    """An attempt of which this part stands still; as its ffmpeg has not ended, neither has it."""

    def suspended() -> Attempt | None:
        attempt = _any_attempt(site)
        with contextlib.suppress(psutil.NoSuchProcess):
            part(attempt).suspend()
        if processes.title(attempt.encoder):
            return attempt
        _resume(part(attempt))
        return None

    return poll(suspended, interval_s=0.02)


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()


def _wait_until_lost(site: Site, attempt: Attempt, limit_s: float) -> None:
    def lost() -> bool:
        entry = site.journal.entries()[attempt.task_id]
        return entry.attempt > attempt.number or entry.status == "pending"

    try:
        poll(lost, limit_s + _SLACK_S)
    except AssertionError:
        message = f"task {attempt.task_id}: attempt {attempt.number} stood still and was not taken back"
        raise Miss(f"{message} within {limit_s + _SLACK_S:g} s") from None


def _is_made_anew(site: Site, attempt: Attempt) -> bool:
    entry = site.journal.entries()[attempt.task_id]
    return entry.attempt > attempt.number and entry.status != "pending"


def _kill_any(site: Site, *names: str) -> None:
    """Kill one process of each name, all at once."""
    processes.kill([site.chance.choice(site.cluster.find(name)) for name in names])
