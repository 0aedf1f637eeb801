"""What happens in a round: chosen by the seed, and the same whenever that round is repeated."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

_FRAMES = (48, 144)


@dataclass(frozen=True)
class Order:
    """A video to ask for, and when: seconds after the round begins, or after its fault."""

    seed: int
    frame_count: int
    delay_s: float


@dataclass(frozen=True)
class Round:
    """One fault, `delay_s` after the first frame of the tasks that were sent before it."""

    number: int
    fault: str
    delay_s: float
    before: tuple[Order, ...]
    during: tuple[Order, ...]
    seed: int  # for what the fault itself leaves to chance


def plan(seed: int, number: int, faults: Sequence[str]) -> Round:
    """The round with this number, from 0; of as many rounds as there are faults, each has another one."""
    deck = sorted(faults)
    random.Random(f"{seed}/{number // len(deck)}").shuffle(deck)
    chance = random.Random(f"{seed}:{number}")
    return Round(
        number=number,
        fault=deck[number % len(deck)],
        delay_s=chance.uniform(0, 1.5),
        before=tuple(_order(chance, 0.3) for _ in range(4)),
        during=tuple(_order(chance, 3.0) for _ in range(2)),
        seed=chance.randrange(2**32),
    )


def _order(chance: random.Random, latest_s: float) -> Order:
    return Order(chance.randrange(2**31), chance.randint(*_FRAMES), chance.uniform(0, latest_s))
