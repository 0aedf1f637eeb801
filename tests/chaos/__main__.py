"""The command: rounds of faults, one line each; exit status 1 if a promise was not kept."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos import report
from tests.chaos.campaign import Outcome, campaign
from tests.chaos.faults import FAULTS
from tests.chaos.plan import plan
from tests.chaos.release import Release


def main() -> int:
    """Run the rounds, print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="chooses what happens when")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    # A short path: Ray has sockets below it.
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    outcomes: list[Outcome] = []
    with campaign(folder, Release(folder / "code")) as running:
        for number in range(options.first, options.first + options.rounds):
            outcomes.append(running.run(plan(options.seed, number, list(FAULTS))))
            print(report.line(outcomes[-1]), flush=True)
            if outcomes[-1].misses:
                print(report.repeat(options.seed, outcomes[-1]), flush=True)
            if not outcomes[-1].recovered:
                break
        strays = running.strays()
        print(report.summary(outcomes, strays))
    if strays or any(outcome.misses for outcome in outcomes):
        print(f"what was served and logged is kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
