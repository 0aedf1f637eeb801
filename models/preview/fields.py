"""From displacements of landmarks to smooth displacement fields over the whole picture."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RBFInterpolator

from models import landmarks as mesh
from models.preview.face_frame import FaceFrame
from models.preview.grid import Grid
from models.preview.mouth_shapes import LOWER_LIP, SHAPES, UPPER_LIP, MouthGeometry, MouthWeights
from models.preview.sampling import combine
from models.preview.smooth import smoothstep

SMOOTHING = 2e-5  # of the spline, in squared face heights: evens out a mesh that is a pixel wrong
COMMON = [*mesh.STILL, *mesh.JAW, *mesh.CORNERS, *mesh.BROWS]
UPPER_CONTROLS = sorted({*COMMON, *UPPER_LIP, mesh.PHILTRUM})
LOWER_CONTROLS = sorted({*COMMON, *LOWER_LIP, *mesh.CHIN})
RING = 1.32  # times the oval of the face: where nothing moves any more
NECK_DEPTHS = (0.24, 0.34)  # face heights below the chin, where nothing moves either
NECK_SIDES = (-0.5, -0.35, -0.2, -0.07, 0.07, 0.2, 0.35, 0.5)


def thin_plate(points: np.ndarray, values: np.ndarray, at: np.ndarray, smoothing: float) -> np.ndarray:
    """A thin-plate spline through `points` [n, 2] with `values` [n, c], read at `at` [..., 2]: [..., c]."""
    spline = RBFInterpolator(points, values, kernel="thin_plate_spline", smoothing=smoothing)
    return np.asarray(spline(at.reshape(-1, 2)).reshape(*at.shape[:-1], values.shape[1]), dtype=np.float32)


@dataclass(frozen=True)
class MouthFields:
    """Two sets of basis fields, for skin on the upper and on the lower lip.

    A field holds, for each place of the *drawn* face, how many pixels its skin has moved, so the skin comes
    from `place - field`.

    Attributes:
        upper, lower: float32 [shapes, rows, columns, 2], pixels per unit of weight, on the grid's nodes.
    """

    upper: np.ndarray
    lower: np.ndarray

    @classmethod
    def solve(cls, mouth: MouthGeometry, frame: FaceFrame, grid: Grid) -> "MouthFields":
        """Spread every shape over the picture."""
        nodes = frame.to_face(grid.nodes())
        shapes = [shape(mouth) for shape in SHAPES]
        anchors = _anchors(mouth.points)
        fade = _fade(nodes, mouth.points)
        moving = fade > 0
        solved = []
        for half, controls in enumerate((UPPER_CONTROLS, LOWER_CONTROLS)):
            moves = np.stack([shape[half][controls] for shape in shapes], axis=1)  # [controls, shapes, 2]
            points = np.concatenate([mouth.points[controls], anchors])
            values = np.concatenate([moves, np.zeros((len(anchors), len(shapes), 2))])
            field = thin_plate(points, values.reshape(len(points), -1), nodes[moving], SMOOTHING)
            field = field.reshape(-1, len(shapes), 2) * fade[moving, None, None]
            pixels = np.zeros((len(shapes), *nodes.shape), np.float32)
            pixels[:, moving] = frame.vectors_to_pixels(field).swapaxes(0, 1)
            solved.append(pixels)
        return cls(*solved)

    def weighted(self, weights: MouthWeights) -> tuple[np.ndarray, np.ndarray]:
        """The upper and the lower displacement field of one frame, float32 pixels [rows, columns, 2] each."""
        vector = weights.vector()
        return combine(vector, self.upper), combine(vector, self.lower)


def _anchors(points: np.ndarray) -> np.ndarray:
    """Points (u, v) around the face and across the neck that never move."""
    middle = points[list(mesh.OVAL)].mean(axis=0)
    rim = [index for index in mesh.OVAL if mesh.JAW.get(index, 0) < 0.3]
    ring = middle + RING * (points[rim] - middle)
    neck = [points[mesh.CHIN_TIP] + (side, depth) for depth in NECK_DEPTHS for side in NECK_SIDES]
    return np.concatenate([ring, neck])


def _fade(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """1 on the face, 0 beyond the anchors, where a spline is free to drift."""
    oval = points[list(mesh.OVAL)]
    low, high = oval.min(axis=0) - [0.12, 0.10], oval.max(axis=0) + np.array([0.12, 0.36])
    inside = np.minimum(nodes - low, high - nodes).min(axis=-1)
    return smoothstep(inside / 0.10)
