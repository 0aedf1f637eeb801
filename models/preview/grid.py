"""Smooth fields are kept on a coarse grid and enlarged to pixels when a frame is drawn."""

from dataclasses import dataclass

import cv2
import numpy as np

from models.preview.sampling import read

LARGEST_FINE_SIDE = 512  # pixels; up to here a node every 4 pixels, above it one every 8


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; its edges are multiples of the grid's step."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to cut the box out of a picture."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def origin(self) -> np.ndarray:
        """The first pixel (x, y), float32 [2]."""
        return np.array([self.x0, self.y0], np.float32)

    def pixels(self) -> np.ndarray:
        """Positions (x, y) of all pixels, float32 [rows, columns, 2]."""
        x, y = np.meshgrid(np.arange(self.x0, self.x1), np.arange(self.y0, self.y1))
        positions: np.ndarray = np.stack([x, y], axis=-1).astype(np.float32)
        return positions


@dataclass(frozen=True)
class Grid:
    """Nodes at the centres of `step` × `step` cells, and one ring of them around the picture.

    Fields are float32 [rows, columns, channels], one value a node. Between nodes they are bilinear,
    whichever way they are read, so what is drawn and what is measured agree.
    """

    width: int
    height: int

    @property
    def step(self) -> int:
        """Pixels between two nodes; divides both sides, which are multiples of 8."""
        return 4 if max(self.width, self.height) <= LARGEST_FINE_SIDE else 8

    def nodes(self) -> np.ndarray:
        """Positions of the nodes, float32 pixels [rows, columns, 2]."""
        columns = (np.arange(-1, self.width // self.step + 1) + 0.5) * self.step - 0.5
        rows = (np.arange(-1, self.height // self.step + 1) + 0.5) * self.step - 0.5
        positions: np.ndarray = np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float32)
        return positions

    def whole(self) -> Box:
        """All pixels."""
        return Box(0, 0, self.width, self.height)

    def box_around(self, points: np.ndarray, margin: float) -> Box:
        """The part of the picture that holds `points` (pixels [n, 2]) and `margin` pixels around them."""
        low = np.floor((points.min(axis=0) - margin) / self.step).astype(int) * self.step
        high = np.ceil((points.max(axis=0) + margin) / self.step).astype(int) * self.step
        limit = (self.width, self.height)
        x0, y0 = (int(np.clip(low[k], 0, limit[k] - self.step)) for k in (0, 1))
        x1, y1 = (int(np.clip(high[k], (x0, y0)[k] + self.step, limit[k])) for k in (0, 1))
        return Box(x0, y0, x1, y1)

    def to_pixels(self, field: np.ndarray, box: Box) -> np.ndarray:
        """Enlarge a field [rows, columns, c] to the pixels of `box`: [y1 - y0, x1 - x0, c]."""
        step = self.step
        part = field[box.y0 // step : box.y1 // step + 2, box.x0 // step : box.x1 // step + 2]
        size = (part.shape[1] * step, part.shape[0] * step)
        large = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
        return large[step:-step, step:-step]

    def sample(self, field: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Read a field at `points`: float32 pixels [..., 2] to values [..., c]."""
        at = (points + np.float32(0.5)) * np.float32(1 / self.step) + np.float32(0.5)
        flat = at.reshape(1, -1, 2) if at.ndim == 2 else at
        return read(field, flat).reshape(*points.shape[:-1], -1)
