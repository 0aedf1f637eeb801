"""What every comparison needs: the folder, the rules, and the networks filled by them."""

import hashlib
import json
import re
import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rules import Rules, speech_signal
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import OFFICIAL, TINY, Architecture
from models.echomimic.weights.checkpoints import load
from models.echomimic.weights.variants import Variant
from tests.parity.rows import Broken

Facts = dict[str, Any]  # numbers and statistics of a golden


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of a golden; remembers which of them were looked at."""

    def __init__(self, path: Path):
        with np.load(path, allow_pickle=False) as file:
            self._arrays = dict(file)
        self._unread = set(self._arrays)

    def __getitem__(self, key: str) -> np.ndarray:
        array = self._arrays[key]
        self._unread.discard(key)
        return array

    def __contains__(self, key: object) -> bool:
        return key in self._arrays  # without counting as a look

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def unread(self, stem: str) -> Iterator[Broken]:
        """A row for each array that nobody compared."""
        for key in sorted(self._unread):
            yield Broken(f"{stem} {key}", "an array this command does not know")


@dataclass(frozen=True)
class Bench:
    """One folder of goldens under one family of rules.

    Attributes:
        weights: a folder of published weights, where the goldens were made with those.
        variant: of these weights.
    """

    folder: Path
    rules: Rules
    weights: Path | None = None
    variant: Variant = "acc"

    def facts(self, stem: str) -> Facts:
        """The numbers and statistics of a golden."""
        facts: Facts = json.loads((self.folder / f"{stem}.json").read_text())
        return facts

    def arrays(self, stem: str) -> Arrays:
        """The arrays of a golden."""
        return Arrays(self.folder / f"{stem}.npz")

    def pcm(self, described: str, count: int, digest: str) -> np.ndarray:
        """int16 samples at 16 kHz of a file in the folder, or of a rule such as `seeded_wav(…, salt='long')`.

        Raises:
            LookupError: no reading of the description has this many samples and this hash.
        """
        for pcm in self._readings(described, count):
            if len(pcm) == count and fingerprint(pcm) == digest:
                return pcm
        raise LookupError(f"{described} with {count} samples does not have the hash {digest}")

    def _readings(self, described: str, count: int) -> list[np.ndarray]:
        path = self.folder / described
        if path.suffix == ".wav":
            return [read_wav(path)] if path.is_file() else []
        named = re.search(r"salt='([^']*)'", described)
        salt = named.group(1) if named else ""
        return [speech_signal(count, prefix + salt) for prefix in dict.fromkeys((self.rules.salt, ""))]

    @cached_property
    def tiny(self) -> Networks:
        return self._networks(TINY)

    @cached_property
    def official(self) -> Networks:
        return self._networks(OFFICIAL)

    def _networks(self, architecture: Architecture) -> Networks:
        if self.weights is None:
            return self.rules.networks(architecture)
        return load(self.weights, architecture, variant=self.variant).networks


def read_wav(path: Path) -> np.ndarray:
    """int16 samples of a mono 16 kHz file."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def fingerprint(pcm: np.ndarray) -> str:
    return hashlib.sha256(pcm.tobytes()).hexdigest()[:16]
