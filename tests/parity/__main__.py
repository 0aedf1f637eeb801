"""The command: every golden in a folder, one line each; exit status 1 if anything is missed or unknown."""

import argparse
import sys
from pathlib import Path

from benchmarks.rules import Rules
from models.echomimic.weights.variants import VARIANTS
from tests.parity.bench import Bench
from tests.parity.report import report


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("folder", type=Path, help="the goldens")
    parser.add_argument("--salt", default="", help="the salt they were made with")
    parser.add_argument("--weights", type=Path, help="the folder of published weights they were made with")
    parser.add_argument("--variant", choices=VARIANTS, default="acc", help="of those weights")
    parser.add_argument("--full", action="store_true", help="also those of full size (10 GB, minutes)")
    options = parser.parse_args()
    count = misses = 0
    bench = Bench(options.folder, Rules(options.salt), options.weights, options.variant)
    for row in report(bench, full=options.full):
        print(row, flush=True)
        count += 1
        misses += not row.passed
    print(f"{count} rows, {misses} missed")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
