"""What the rounds brought, for people."""

from collections.abc import Sequence

from tests.chaos.campaign import Outcome


def line(outcome: Outcome) -> str:
    """A round in one line."""
    verdict = f"{len(outcome.misses)} MISSED" if outcome.misses else "kept"
    return (
        f"round {outcome.round.number:3}  {outcome.round.fault:20} {verdict:8} {outcome.tasks:2} tasks,"
        f" {outcome.repeated} repeated, outage {outcome.outage_s:4.1f} s, {outcome.seconds:5.1f} s"
    )


def summary(outcomes: Sequence[Outcome], strays: Sequence[str]) -> str:
    """All rounds, by their faults, and in sum."""
    faults = sorted({outcome.round.fault for outcome in outcomes})
    rows = [
        _row(fault, [outcome for outcome in outcomes if outcome.round.fault == fault]) for fault in faults
    ]
    header = f"{'':20} rounds  tasks  repeated  failures  unannounced  longest outage"
    lines = ["", header, *rows, _row("in all", outcomes), ""]
    lines += [f"files without a task: {len(strays)}", *(f"  {stray}" for stray in strays)]
    return "\n".join(lines)


def repeat(seed: int, outcome: Outcome) -> str:
    """What was missed in a round, and how to do that round again."""
    misses = "\n".join(f"  {miss}" for miss in outcome.misses)
    return f"{misses}\n  again: python -m tests.chaos --seed {seed} --first {outcome.round.number} --rounds 1"


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    tasks, repeated, failures, unannounced = (
        sum(getattr(outcome, count) for outcome in outcomes)
        for count in ("tasks", "repeated", "failures", "unannounced")
    )
    outage = max(outcome.outage_s for outcome in outcomes)
    return (
        f"{name:20} {len(outcomes):6} {tasks:6} {repeated:9} {failures:9} {unannounced:12} {outage:13.1f} s"
    )
