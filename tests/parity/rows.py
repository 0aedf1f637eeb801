"""One line of the report: a golden, how far we are from it, and how far we may be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor


@dataclass(frozen=True)
class Row:
    """A comparison.

    Attributes:
        error: largest absolute difference; infinite where the shapes differ.
    """

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance  # so that NaN does not pass

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "MISS"
        return f"{verdict:4}  {self.name:62}  {self.error:9.2e}  (tolerance {self.tolerance:.1e})"


@dataclass(frozen=True)
class LeftOut:
    """A golden that is not computed, and why."""

    name: str
    reason: str
    passed = True

    def __str__(self) -> str:
        return f"-     {self.name:62}  left out: {self.reason}"


@dataclass(frozen=True)
class Broken:
    """Something that must not be there, or should be and isn't."""

    name: str
    reason: str
    passed = False

    def __str__(self) -> str:
        return f"MISS  {self.name:62}  {self.reason}"


AnyRow = Row | LeftOut | Broken


def compare(name: str, ours: ArrayLike | Tensor, golden: ArrayLike, tolerance: float = 0.0) -> Row:
    """Compare every element."""
    a, b = np.asarray(ours, np.float64), np.asarray(golden, np.float64)
    if a.shape != b.shape:
        return Row(f"{name} {list(a.shape)} for {list(b.shape)}", float("inf"), tolerance)
    return Row(name, float(np.abs(a - b).max(initial=0.0)), tolerance)


def compare_statistics(name: str, ours: ArrayLike | Tensor, golden: dict, tolerance: float) -> Row:
    """Compare what a golden keeps of an array that was too large to keep."""
    array = np.asarray(ours, np.float64)
    if list(array.shape) != golden["shape"]:
        return Row(f"{name} {list(array.shape)} for {golden['shape']}", float("inf"), tolerance)
    flat = array.ravel()
    mine = [*flat[:8], *flat[-8:], np.abs(flat).max(), flat.mean(), flat.std()]
    kept = [*golden["first8"], *golden["last8"], golden["absmax"], golden["mean"]]
    kept.append(golden.get("std", mine[-1]))
    return compare(f"{name} (statistics)", mine, kept, tolerance)
