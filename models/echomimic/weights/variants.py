"""The two published variants of the denoiser, and the defaults of each. Loads no tensor library."""

from collections.abc import Mapping
from typing import Literal, get_args

from models.params import GenerationParams

Variant = Literal["acc", "base"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

# The accelerated variant was distilled to six steps without guidance; the defaults of both are the authors'.
DEFAULTS: Mapping[Variant, GenerationParams] = {
    "acc": GenerationParams(),
    "base": GenerationParams(steps=30, cfg=2.5),
}
