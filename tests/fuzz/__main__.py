"""Attacks a service with made-up requests and hostile files: python -m tests.fuzz [REQUESTS] [SEED]

Ends with code 1 and says why, if an answer was wrong or the service changed.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.images import hostile_images
from tests.fuzz.made_up import Requests
from tests.fuzz.sounds import hostile_sounds
from tests.fuzz.uploads import Watch, send_all
from tests.service import Service, poll, run_service

LEAST_ACCEPTED = 0.2
WARM_UP = 20
QUEUE_TIMEOUT_S = 1800


def main(count: int = 10_000, seed: int = 1) -> int:
    """Attack; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder, run_service(Path(folder)) as service:
        Requests(service.url, seed + 1).send(WARM_UP)
        complaints = [*_made_up(service, count, seed), *_hostile(service)]
        print("\n".join(complaints) or "nothing was wrong", flush=True)
    return bool(complaints)


def _made_up(service: Service, count: int, seed: int) -> list[str]:
    watch = Watch(service)
    tally = Requests(service.url, seed).send(count)
    print("\n".join(tally.lines()), watch.growth(), sep="\n", flush=True)
    poll(lambda: service.http.get("/health").json()["pending"] == 0, QUEUE_TIMEOUT_S, interval_s=1)
    few = [] if tally.accepted_share >= LEAST_ACCEPTED else [f"only {tally.accepted_share:.0%} were accepted"]
    return [*tally.failures.values(), *few, *watch.complaints()]


def _hostile(service: Service) -> list[str]:
    watch = Watch(service)
    outcomes = send_all(service, [*hostile_images(), *hostile_sounds()])
    for became, number in Counter(outcome.became for outcome in outcomes).items():
        print(f"{number:8} hostile files {became}")
    print(watch.growth(), flush=True)
    return [*(str(outcome) for outcome in outcomes if not outcome.as_expected), *watch.complaints()]


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
