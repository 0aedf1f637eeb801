"""The slit between the lips in one frame: which skin hangs on which lip, and what shows between them."""

from dataclasses import dataclass, fields

import cv2
import numpy as np

from models.preview.face_frame import FaceFrame
from models.preview.grid import Grid
from models.preview.lips import SAMPLES, Lips
from models.preview.sampling import read

RESOLUTION = 512  # entries of the table over u
SETTLE_STEPS = 4  # of the fixed point below; it converges by a factor of about 5 a step
CORNER_FADE = 0.007  # face heights over which the inside fades out towards the corners
SEAM_GONE = 0.02  # face heights between the lips, or beyond the corners, where no seam is seen
CORNER_SOFTNESS = 0.35  # how fast the parting of the lips softens beyond the corners


@dataclass(frozen=True)
class SlitPixels:
    """The slit at each place of a picture, all float32 [rows, columns].

    Attributes:
        upper, lower: v of the edges at the place's u.
        softness: face heights over which upper skin becomes lower skin.
        inside: face heights from the nearer corner, negative beyond it.
        v: of the place itself.
    """

    upper: np.ndarray
    lower: np.ndarray
    softness: np.ndarray
    inside: np.ndarray
    v: np.ndarray

    def crop(self, part: tuple[slice, slice]) -> "SlitPixels":
        """The slit in some rows and columns."""
        return SlitPixels(*(getattr(self, field.name)[part] for field in fields(self)))

    def below(self) -> np.ndarray:
        """0 where skin hangs on the upper lip, 1 where it hangs on the lower one."""
        half = (self.lower - self.upper) * 0.5 + self.softness
        middle = (self.upper + self.lower) * 0.5
        below: np.ndarray = np.clip((self.v - middle) / (2 * half) + 0.5, 0, 1)
        return below

    def near(self, reach: float) -> np.ndarray:
        """True where the inside of the mouth or the seam may be seen: three `reach` from the lips' edges."""
        around = (self.v > self.upper - 3 * reach) & (self.v < self.lower + 3 * reach)
        return np.asarray(around & (self.inside > -SEAM_GONE))

    def opacity(self, feather: float) -> np.ndarray:
        """0 on the lips to 1 between them, anti-aliased over `feather` face heights."""
        parted = np.clip((self.lower - self.upper) / (1.2 * feather), 0, 1)
        under_upper = np.clip((self.v - self.upper) / feather + 0.35, 0, 1)
        over_lower = np.clip((self.lower - self.v) / feather + 0.35, 0, 1)
        opacity: np.ndarray = under_upper * over_lower * parted * np.clip(self.inside / CORNER_FADE, 0, 1)
        return opacity

    def seam(self, thickness: float) -> np.ndarray:
        """Opacity of the shadow along lips that touch, of a thickness in face heights."""
        from_line = (self.v - (self.upper + self.lower) * 0.5) / thickness
        closed = 1 - np.clip((self.lower - self.upper) / SEAM_GONE, 0, 1)
        within = np.clip(self.inside / SEAM_GONE + 1, 0, 1)
        return np.asarray(0.42 * np.exp(-(from_line**2)) * closed * within)


@dataclass(frozen=True)
class Slit:
    """The inner edges of the lips as drawn, in face coordinates.

    Attributes:
        upper, lower: points (u, v) [SAMPLES, 2].
        softness: face heights that one pixel of anti-aliasing takes.
    """

    upper: np.ndarray
    lower: np.ndarray
    softness: float

    @property
    def opening(self) -> float:
        """Between the middles of the lips, face heights; negative where they overlap."""
        return self.middle(self.lower) - self.middle(self.upper)

    def middle(self, edge: np.ndarray) -> float:
        """V of the middle of an edge."""
        return float(edge[SAMPLES // 2, 1])

    @classmethod
    def move(cls, lips: Lips, upper: np.ndarray, lower: np.ndarray, frame: FaceFrame, grid: Grid) -> "Slit":
        """Carry the portrait's lips along with the displacement fields (pixels) of their own skin."""
        moved_upper = _carried(lips.upper_edge(), upper, frame, grid)
        moved_lower = _carried(lips.lower_edge(), lower, frame, grid)
        return cls(moved_upper, moved_lower, softness=0.6 / frame.unit)

    def at(self, face: np.ndarray) -> SlitPixels:
        """Look the slit up at places in face coordinates [rows, columns, 2]."""
        u, v = cv2.split(face)
        table_u = np.linspace(float(u.min()), float(u.max()), RESOLUTION)
        scale = (RESOLUTION - 1) / max(float(table_u[-1] - table_u[0]), 1e-6)
        index = (u - np.float32(table_u[0])) * np.float32(scale)
        values = read(self._table(table_u), cv2.merge([index, np.zeros_like(index)]))
        upper, lower, softness, inside = cv2.split(values)
        return SlitPixels(upper, lower, softness, inside, v)

    def _table(self, u: np.ndarray) -> np.ndarray:
        upper = np.interp(u, self.upper[:, 0], self.upper[:, 1])
        lower = np.maximum(upper, np.interp(u, self.lower[:, 0], self.lower[:, 1]))
        left = max(self.upper[0, 0], self.lower[0, 0])
        right = min(self.upper[-1, 0], self.lower[-1, 0])
        inside = np.minimum(u - left, right - u)
        softness = np.maximum(self.softness, CORNER_SOFTNESS * -inside)
        table: np.ndarray = np.stack([upper, lower, softness, inside], axis=-1).astype(np.float32)[None]
        return table


def _carried(edge: np.ndarray, field: np.ndarray, frame: FaceFrame, grid: Grid) -> np.ndarray:
    """Where points of the portrait are drawn: the place p with p - field(p) = point, by fixed point."""
    start = frame.to_pixels(edge).astype(np.float32)
    place = start
    for _ in range(SETTLE_STEPS):
        place = start + grid.sample(field, place)
    return frame.to_face(place)
