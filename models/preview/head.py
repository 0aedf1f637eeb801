"""The head sways: fields that move the head on still shoulders before a still background."""

from dataclasses import dataclass, fields

import numpy as np

from models import landmarks as mesh
from models.preview.face_frame import FaceFrame
from models.preview.fields import thin_plate
from models.preview.grid import Grid
from models.preview.pose import HeadPose
from models.preview.sampling import combine
from models.preview.smooth import smoothstep

DEPTH_SMOOTHING = 2e-4  # squared face heights; the mesh's depth is rougher than its outline
DEPTH_POINTS = sorted({*mesh.OVAL[::2], *mesh.STILL, *mesh.UPPER_INNER[::2], *mesh.CHIN})
AXIS_DEPTH = 0.10  # face heights from the rim of the face back to the axis the head turns about
PIVOT = 0.25  # face heights below the chin: where the neck bends
FRAME_EDGE = 0.10  # share of the picture over which the motion fades towards its edges


@dataclass(frozen=True)
class HeadFields:
    """Basis fields in the order of `HeadPose`'s fields: float32 pixels [5, rows, columns, 2] a unit."""

    fields: np.ndarray

    @classmethod
    def solve(cls, depths: np.ndarray, points: np.ndarray, frame: FaceFrame, grid: Grid) -> "HeadFields":
        """Build the fields.

        Args:
            depths: z of the mesh in pixels of the picture's width [478], negative towards the viewer.
            points: the mesh in face coordinates [478, 2].
            frame: the face coordinates.
            grid: where the fields are kept.
        """
        pixels = grid.nodes()
        nodes = frame.to_face(pixels)
        depth = _depth(depths / np.linalg.norm(frame.axes[0]), points, nodes)
        u, v = nodes[..., 0], nodes[..., 1] - (points[mesh.CHIN_TIP, 1] + PIVOT)
        one, zero = np.ones_like(u), np.zeros_like(u)
        basis = [(one, zero), (zero, -one), (-v, u), (depth, zero), (zero, -depth)]
        share = _head(nodes, points) * _away_from_edges(pixels, grid)
        moves = np.stack([np.stack(move, axis=-1) for move in basis]) * share[..., None]
        return cls(frame.vectors_to_pixels(moves).astype(np.float32))

    def weighted(self, head: HeadPose) -> np.ndarray:
        """How far the head has moved at each node, float32 pixels [rows, columns, 2]."""
        vector = np.array([getattr(head, field.name) for field in fields(head)], np.float32)
        return combine(vector, self.fields)


def _depth(z: np.ndarray, points: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Face heights in front of the axis the head turns about, at each node: the nose goes furthest."""
    towards_viewer = np.median(z[list(mesh.OVAL)]) - z
    relief = thin_plate(points[DEPTH_POINTS], towards_viewer[DEPTH_POINTS, None], nodes, DEPTH_SMOOTHING)[
        ..., 0
    ]
    across, down = _from_middle(nodes, points)
    inside = 1 - smoothstep((np.hypot(across, (down - 0.08) / 1.05) - 0.80) / 0.5)
    return np.asarray(np.clip(relief, -0.1, 0.8) * inside + AXIS_DEPTH)


def _from_middle(nodes: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances from the middle of the head, 1 at the sides, at the top and at the chin."""
    middle = (points[mesh.FOREHEAD] + points[mesh.CHIN_TIP]) / 2 - (0, 0.08)
    half_width = np.linalg.norm(points[mesh.FACE_SIDES[1]] - points[mesh.FACE_SIDES[0]]) / 2
    return (nodes[..., 0] - middle[0]) / half_width, (nodes[..., 1] - middle[1]) / 0.5


def _head(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """1 on the head, fading over the hair and down the neck."""
    across, down = _from_middle(nodes, points)
    around = 1 - smoothstep((np.hypot(across / 1.25, down / 1.45) - 0.85) / 0.75)
    below_chin = nodes[..., 1] - points[mesh.CHIN_TIP, 1]
    return np.minimum(around, 1 - smoothstep((below_chin + 0.1) / 0.55))


def _away_from_edges(pixels: np.ndarray, grid: Grid) -> np.ndarray:
    size = np.array([grid.width, grid.height])
    inside = np.minimum(pixels, size - 1 - pixels) / (FRAME_EDGE * size)
    return smoothstep(inside.min(axis=-1))
