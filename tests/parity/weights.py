"""Is the rule for weights itself right? Compares them with what the authors' networks were filled with."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.rules import TAGS
from models.echomimic.weights.checkpoints import published_names
from tests.parity.bench import Bench, Facts
from tests.parity.rows import AnyRow, LeftOut, compare, compare_statistics
from tests.parity.unet import pose_locator

EXACT = 1e-6
SUM = 1e-3  # of a million elements in another order


def rows(bench: Bench, stem: str) -> Iterator[AnyRow]:
    """Compare `weights_probe`: some tensors of each network, their number and their sums."""
    facts = bench.facts(stem)
    if facts["salt"] != bench.rules.salt:
        yield LeftOut(stem, f"made with the salt {facts['salt']!r}, not {bench.rules.salt!r}")
        return
    for tag, probe in facts["tags"].items():
        yield from _tag(bench, f"{stem} {tag}", tag, probe)


def _tag(bench: Bench, name: str, tag: str, probe: Facts) -> Iterator[AnyRow]:
    ours = _published(bench, tag)
    for key, golden in probe["keys"].items():
        shape = tuple(golden["shape"])
        # Whisper's decoder is in the file, but not in our network.
        tensor = ours[key] if key in ours else bench.rules.weight(tag, key, shape)
        yield compare_statistics(f"{name} {key}", tensor, golden, EXACT)
    if tag == "whisper":
        yield LeftOut(f"{name} sums", "over the decoder too, which the engine does not have")
        return
    yield compare(f"{name} keys", len(ours), probe["n_keys"])
    flat = torch.cat([tensor.double().flatten() for tensor in ours.values()])
    yield compare(f"{name} sum", flat.sum(), probe["total_sum"], SUM)
    yield compare(f"{name} sum of absolutes", flat.abs().sum(), probe["total_abs"], SUM)


def _published(bench: Bench, tag: str) -> dict[str, Tensor]:
    """Our tensors under the published names."""
    if tag == "face_locator_pose":
        return pose_locator(bench.rules).state_dict()
    name = next(name for name, other in TAGS.items() if other == tag)
    state = getattr(bench.tiny, name).state_dict()
    return {published_names(name, key)[0]: tensor for key, tensor in state.items()}
