"""Goldens of the face locator at its real width, for masks and for pose pictures."""

import re
from collections.abc import Iterator

import torch

from models.echomimic.networks.config import OFFICIAL
from tests.parity.bench import Bench
from tests.parity.rows import AnyRow, compare
from tests.parity.unet import locator_for

TOLERANCE = 5e-5


@torch.inference_mode()
def rows(bench: Bench, stem: str) -> Iterator[AnyRow]:
    """Compare `face_locator_full_width`: one row per pair of input and output."""
    arrays = bench.arrays(stem)
    for key in (key for key in arrays if key.endswith("_in")):
        name = key.removesuffix("_in")
        frames = torch.from_numpy(arrays[key])[0].transpose(0, 1)
        locator = locator_for(OFFICIAL, channels=frames.shape[1])
        bench.rules.fill(locator, "face_locator", re.sub(r"_\d+x\d+x\d+$", "", name))
        ours = locator(frames).transpose(0, 1)[None]
        yield compare(f"{stem} {name}", ours, arrays[f"{name}_out"], TOLERANCE)
    yield from arrays.unread(stem)
