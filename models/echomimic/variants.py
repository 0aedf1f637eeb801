"""The two published forms of the denoiser, and the numbers each was made for."""

from collections.abc import Mapping

from models.echomimic.layout import Variant
from models.params import GenerationParams

# The accelerated form was distilled to six steps without guidance; the numbers of both are the authors'.
DEFAULTS: Mapping[Variant, GenerationParams] = {
    "acc": GenerationParams(),
    "base": GenerationParams(steps=30, cfg=2.5),
}
