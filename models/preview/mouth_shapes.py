"""The basis shapes of a talking mouth: how far each landmark goes when one muscle group moves by one unit.

Every shape is a pair of displacement tables over the face mesh, in face heights. The first is for skin that
hangs on the upper lip, the second for skin that hangs on the lower one; they agree everywhere but at the
lips, and the slit between the lips is where they part. The amounts were chosen by eye.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from models import landmarks as mesh
from models.preview.lips import Lips

UPPER_LIP = [*mesh.UPPER_INNER[1:-1], *mesh.UPPER_MIDDLE, *mesh.UPPER_OUTER[1:-1]]
LOWER_LIP = [*mesh.LOWER_INNER[1:-1], *mesh.LOWER_MIDDLE, *mesh.LOWER_OUTER[1:-1]]
CORNERS = list(mesh.CORNERS)
NARROWEST_HALF = 0.02  # face heights; in a profile the far half of the mouth is hidden
Shape = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class MouthWeights:
    """How much of each shape a frame has; the field names are those of the functions below."""

    jaw: float = 0.0  # face heights that the lower lip goes down
    raise_lip: float = 0.0  # face heights that the upper lip goes up
    spread: float = 0.0  # face heights that each corner goes outwards
    pucker: float = 0.0  # face heights that each corner goes inwards
    press: float = 0.0  # share of the lips' red that is rolled in
    close: float = 0.0  # share of the portrait's own opening that is taken away
    brow: float = 0.0  # face heights that the brows go up

    def vector(self) -> np.ndarray:
        """In the order of `SHAPES`, float32."""
        return np.array([getattr(self, field.name) for field in fields(self)], np.float32)


@dataclass(frozen=True)
class MouthGeometry:
    """The mesh as the shapes need it.

    Attributes:
        points: the mesh in face coordinates [478, 2], its inner lips moved to `lips`.
        lips: the inner edges.
        side: [478] -1 at the left corner, 0 in the middle, 1 at the right one; a turned head has two
            halves of different width.
        inner_lens, outer_lens: [478] how much of an opening each point of the inner and of the outer edge
            takes: 1 in the middle, 0 at the corners. The exponent gives an almond; less gives square corners.
    """

    points: np.ndarray
    lips: Lips
    side: np.ndarray
    inner_lens: np.ndarray
    outer_lens: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, lips: Lips) -> "MouthGeometry":
        """Measure a mesh in face coordinates [478, 2]."""
        points = points.copy()
        for chain, edge in ((mesh.UPPER_INNER, lips.upper), (mesh.LOWER_INNER, lips.lower)):
            points[list(chain), 1] = np.interp(points[list(chain), 0], lips.u, edge)
        inner = _side(points[:, 0], points[78, 0], points[308, 0], points[[13, 14], 0].mean())
        outer = _side(points[:, 0], points[61, 0], points[291, 0], points[[0, 17], 0].mean())
        return cls(points, lips, outer, _lens(inner), _lens(outer))

    def gap(self) -> np.ndarray:
        """The portrait's own opening at the u of every point [478]."""
        return np.interp(self.points[:, 0], self.lips.u, self.lips.lower - self.lips.upper)

    def still(self) -> Shape:
        """A pair of tables in which nothing moves."""
        return np.zeros_like(self.points), np.zeros_like(self.points)


def _side(u: np.ndarray, left: float, right: float, middle: float) -> np.ndarray:
    half = np.maximum(np.where(u < middle, middle - left, right - middle), NARROWEST_HALF)
    side: np.ndarray = np.clip((u - middle) / half, -1.1, 1.1)
    return side


def _lens(side: np.ndarray) -> np.ndarray:
    lens: np.ndarray = (1 - np.minimum(np.abs(side), 1) ** 2) ** 1.1
    return lens


def jaw(mouth: MouthGeometry) -> Shape:
    """The jaw drops: lower lip, chin and jaw line follow, the corners are drawn down and in."""
    upper, lower = mouth.still()
    jaw_points, share = mesh.share_of_jaw()
    for table in (upper, lower):
        table[jaw_points, 1] = 0.8 * share
        table[CORNERS] = np.stack([-0.10 * np.sign(mouth.side[CORNERS]), np.full(len(CORNERS), 0.14)], axis=1)
    upper[UPPER_LIP, 0] = -0.08 * mouth.side[UPPER_LIP]
    upper[UPPER_LIP, 1] = 0.14 * np.clip(np.abs(mouth.side[UPPER_LIP]), 0, 1) ** 3
    lower[LOWER_LIP, 0] = -0.08 * mouth.side[LOWER_LIP]
    lower[LOWER_LIP, 1] = 0.14 + 0.86 * _lower_lens(mouth)
    lower[list(mesh.CHIN), 1] = list(mesh.CHIN.values())
    return upper, lower


def _lower_lens(mouth: MouthGeometry) -> np.ndarray:
    outer = np.isin(LOWER_LIP, mesh.LOWER_OUTER)
    return np.where(outer, mouth.outer_lens[LOWER_LIP], mouth.inner_lens[LOWER_LIP])


def raise_lip(mouth: MouthGeometry) -> Shape:
    """The upper lip goes up."""
    upper, lower = mouth.still()
    inner = [*mesh.UPPER_INNER[1:-1], *mesh.UPPER_MIDDLE]
    outer = list(mesh.UPPER_OUTER[1:-1])
    upper[inner, 1] = -mouth.inner_lens[inner]
    upper[outer, 1] = -0.7 * mouth.outer_lens[outer]
    upper[mesh.PHILTRUM, 1] = -0.35
    return upper, lower


def spread(mouth: MouthGeometry) -> Shape:
    """The corners go outwards and a little up."""
    upper, lower = mouth.still()
    for table, lip in ((upper, UPPER_LIP), (lower, LOWER_LIP)):
        points = CORNERS + lip
        table[points, 0] = mouth.side[points]
        table[points, 1] = -0.10 * np.abs(mouth.side[points])
    return upper, lower


def pucker(mouth: MouthGeometry) -> Shape:
    """The corners go inwards and the lips swell."""
    upper, lower = mouth.still()
    for table, lip in ((upper, UPPER_LIP), (lower, LOWER_LIP)):
        table[CORNERS + lip, 0] = -mouth.side[CORNERS + lip]
    swell = (
        (upper, mesh.UPPER_OUTER, -0.22),
        (upper, mesh.UPPER_MIDDLE, -0.10),
        (lower, mesh.LOWER_MIDDLE, 0.12),
        (lower, mesh.LOWER_OUTER, 0.28),
    )
    for table, chain, amount in swell:
        table[list(chain), 1] = amount * mouth.outer_lens[list(chain)]
    lower[mesh.BELOW_LIP, 1] = 0.18
    return upper, lower


def press(mouth: MouthGeometry) -> Shape:
    """Both lips are rolled in: their outer edges move to where they meet."""
    upper, lower = mouth.still()
    u, v = mouth.points.T
    edges = ((upper, UPPER_LIP, mouth.lips.upper), (lower, LOWER_LIP, mouth.lips.lower))
    for table, lip, edge in edges:
        table[lip, 1] = np.interp(u[lip], mouth.lips.u, edge) - v[lip]
    return upper, lower


UPPER_SHARE = (
    0.55  # of closing an open mouth; the jaw, which cannot close a photograph's chin line, does the rest
)


def close(mouth: MouthGeometry) -> Shape:
    """The lips of a portrait with an open mouth meet."""
    upper, lower = mouth.still()
    gap = mouth.gap()
    down, up = UPPER_SHARE * gap, -(1 - UPPER_SHARE) * gap
    follow = ((mesh.UPPER_INNER, mesh.LOWER_INNER, 1.0), (mesh.UPPER_MIDDLE, mesh.LOWER_MIDDLE, 0.75),
              (mesh.UPPER_OUTER, mesh.LOWER_OUTER, 0.5))  # fmt: skip
    for upper_chain, lower_chain, share in follow:
        upper[list(upper_chain), 1] = share * down[list(upper_chain)]
        lower[list(lower_chain), 1] = share * up[list(lower_chain)]
    for table in (upper, lower):
        table[CORNERS] = 0
    upper[mesh.PHILTRUM, 1] = 0.15 * down[mesh.PHILTRUM]
    lower[[18, 83, 313], 1] = 0.3 * up[[18, 83, 313]]
    lower[[200, 201, 421], 1] = 0.1 * up[[200, 201, 421]]
    return upper, lower


def brow(mouth: MouthGeometry) -> Shape:
    """The brows go up."""
    upper, lower = mouth.still()
    for table in (upper, lower):
        table[list(mesh.BROWS), 1] = -1
    return upper, lower


SHAPES: tuple[Callable[[MouthGeometry], Shape], ...] = (jaw, raise_lip, spread, pucker, press, close, brow)
assert [shape.__name__ for shape in SHAPES] == [field.name for field in fields(MouthWeights)]
