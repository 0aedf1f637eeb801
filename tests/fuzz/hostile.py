"""What a hostile file is; the files are the same on every run with the same libraries."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Expected(Enum):
    """What the service does with a file."""

    REFUSED = "refused"  # nothing can be decoded: a 4xx, or a failed task
    UNFIT = "unfit"  # decoded, but there is no face in it, or too little sound: a failed task
    USED = "used"  # strange, but a video can be made
    ANY = "any"  # damaged at random: any of the three, and nothing else


@dataclass(frozen=True)
class HostileFile:
    """One upload that means harm, or looks as if.

    Attributes:
        name: what is wrong with it.
        field: of the form, where it is sent.
        content: its bytes.
        expected: what becomes of it.
        file_name: what the client calls it.
    """

    name: str
    field: str
    content: bytes
    expected: Expected
    file_name: str = "upload"


def cut(content: bytes, *shares: float) -> Iterator[tuple[str, bytes]]:
    """The file's beginnings, by their share of the whole."""
    for share in shares:
        yield f"cut at {share:.0%}", content[: round(len(content) * share)]


def flipped(content: bytes, seed: int, count: int = 40) -> bytes:
    """Some bytes replaced by others, anywhere but in the first twelve, which name the format."""
    dice = random.Random(seed)
    damaged = bytearray(content)
    for _ in range(count):
        damaged[dice.randrange(12, len(damaged))] = dice.randrange(256)
    return bytes(damaged)
