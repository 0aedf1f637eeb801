"""The two published variants of the denoiser, and the numbers each was made for. Loads no tensor library."""

from collections.abc import Mapping
from typing import Literal, get_args

from models.params import GenerationParams

Variant = Literal["acc", "base"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

# The accelerated form was distilled to six steps without guidance; the numbers of both are the authors'.
DEFAULTS: Mapping[Variant, GenerationParams] = {
    "acc": GenerationParams(),
    "base": GenerationParams(steps=30, cfg=2.5),
}
