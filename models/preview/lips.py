"""Where the lips of the portrait meet, and the portrait without what is between them."""

from dataclasses import dataclass

import cv2
import numpy as np

from models import landmarks as mesh
from models.preview.face_frame import FaceFrame
from models.preview.sampling import read, spread
from models.preview.smooth import smooth_chain

SAMPLES = 41  # along the mouth
OPEN_FROM = 0.018  # face heights between the inner lips; below it the mesh says so of closed lips too
SEARCH = 0.02  # face heights above and below the mesh's seam where the dark line between the lips is sought
SEARCH_STEP = 0.002
TEETH_MARGIN = 0.014  # face heights of lip around the gap that carry the colour of the teeth
LIP_SPREAD = 0.04  # face heights that the colour of the lips reaches over the gap


@dataclass(frozen=True)
class Lips:
    """The inner edges of the lips as the portrait has them, in face coordinates.

    Attributes:
        u: [SAMPLES] from corner to corner.
        upper, lower: v of the edges [SAMPLES]; equal where the lips touch.
        opening: between the middle of both lips, face heights; 0 when closed.
    """

    u: np.ndarray
    upper: np.ndarray
    lower: np.ndarray

    @property
    def opening(self) -> float:
        """Of the middle of the mouth."""
        return float((self.lower - self.upper)[SAMPLES // 2])

    @property
    def parted(self) -> bool:
        """The portrait shows the inside of its mouth."""
        return self.opening > 0

    @property
    def middle(self) -> float:
        """Where the middle of the mouth is along u."""
        return float(self.u[0] + self.u[-1]) / 2

    @property
    def half_width(self) -> float:
        """From the middle to the inner corners."""
        return float(self.u[-1] - self.u[0]) / 2

    def upper_edge(self) -> np.ndarray:
        """Points (u, v) [SAMPLES, 2]."""
        return np.stack([self.u, self.upper], axis=1)

    def lower_edge(self) -> np.ndarray:
        """Points (u, v) [SAMPLES, 2]."""
        return np.stack([self.u, self.lower], axis=1)


def find_lips(image: np.ndarray, points: np.ndarray, frame: FaceFrame) -> Lips:
    """Follow the inner lips of a portrait.

    Args:
        image: uint8 RGB [height, width, 3].
        points: the face mesh in face coordinates [478, 2].
        frame: the face coordinates.
    """
    u = np.linspace(points[mesh.UPPER_INNER[0], 0], points[mesh.UPPER_INNER[-1], 0], SAMPLES)
    upper, lower = (_edge(points[list(chain)], u) for chain in (mesh.UPPER_INNER, mesh.LOWER_INNER))
    if (lower - upper)[SAMPLES // 2] > OPEN_FROM:
        return Lips(u, upper, np.maximum(upper, lower))
    seam = _dark_line(image, u, (upper + lower) / 2, frame)
    return Lips(u, seam, seam)


def _edge(chain: np.ndarray, u: np.ndarray) -> np.ndarray:
    order = np.argsort(chain[:, 0])
    return smooth_chain(np.interp(u, chain[order, 0], chain[order, 1]))


def _dark_line(image: np.ndarray, u: np.ndarray, seam: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """Snap the mesh's seam to the shadow between closed lips: the mesh can miss it by a lip's half thickness.

    The darkest path from corner to corner, by dynamic programming; leaving the mesh and jumping cost extra.
    """
    offsets = np.arange(-SEARCH, SEARCH + SEARCH_STEP / 2, SEARCH_STEP)
    gray = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 0.8).astype(np.float32)
    columns = np.stack(np.broadcast_arrays(u[:, None], seam[:, None] + offsets), axis=-1)
    darkness = read(gray, frame.to_pixels(columns).astype(np.float32))
    cost = darkness + 6 * np.abs(offsets / SEARCH)
    path = _cheapest_path(cost, jump_cost=4.0)
    steps = np.convolve(np.pad(offsets[path], 3, mode="edge"), np.full(7, 1 / 7), "valid")
    return np.asarray(seam + steps)


def _cheapest_path(cost: np.ndarray, jump_cost: float) -> np.ndarray:
    """The row in each column of `cost` [columns, rows] that a path of least total cost takes."""
    rows = np.arange(cost.shape[1])
    jumps = jump_cost * np.abs(rows[:, None] - rows)
    total, came_from = cost[0], []
    for column in cost[1:]:
        through = total + jumps
        came_from.append(through.argmin(axis=1))
        total = column + through.min(axis=1)
    path = [int(total.argmin())]
    for previous in reversed(came_from):
        path.append(int(previous[path[-1]]))
    return np.array(path[::-1])


def without_teeth(image: np.ndarray, lips: Lips, frame: FaceFrame) -> np.ndarray:
    """The portrait with its open mouth painted over in the colour of the lips.

    What hangs on the lips is warped with them; teeth must not hang on them.
    """
    gap = _gap(image, lips, frame)
    if not gap.any():  # the mouth is outside the picture
        return image
    around = cv2.dilate(gap, np.ones((3, 3), np.uint8), iterations=round(LIP_SPREAD * frame.unit))
    rows, columns = np.flatnonzero(around.any(axis=1)), np.flatnonzero(around.any(axis=0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    crop, known = image[part].astype(np.float32), 1 - gap[part].astype(np.float32)
    lip = spread(crop, known, LIP_SPREAD * frame.unit)
    opacity = cv2.GaussianBlur(1 - known, (0, 0), 0.8)[..., None]
    painted = image.copy()
    painted[part] = np.clip(crop + (lip - crop) * np.minimum(1, 2 * opacity) + 0.5, 0, 255)
    return painted


def _gap(image: np.ndarray, lips: Lips, frame: FaceFrame) -> np.ndarray:
    """1 between the lips and in the dark at their corners, else 0; uint8 [height, width]."""
    margin = max(TEETH_MARGIN, 1.2 / frame.unit)
    above = lips.upper_edge() - np.array([0, 0.7 * margin])
    below = lips.lower_edge() + np.array([0, margin])
    outline = np.round(frame.to_pixels(np.concatenate([above, below[::-1]])) * 16).astype(np.int32)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [outline], (1,), cv2.LINE_8, shift=4)
    for corner in (lips.upper_edge()[0], lips.upper_edge()[-1]):
        x, y = np.round(frame.to_pixels(corner)).astype(int)
        cv2.circle(mask, (int(x), int(y)), round(1.3 * margin * frame.unit), (1,), -1)
    return mask
