"""A mouth that takes poses: how much of each basis shape makes the lips part as far as a pose asks."""

from dataclasses import dataclass

import numpy as np

from models.preview.face_frame import FaceFrame
from models.preview.fields import MouthFields
from models.preview.grid import Grid
from models.preview.lips import Lips
from models.preview.mouth_shapes import MouthGeometry, MouthWeights
from models.preview.pose import Pose
from models.preview.slit import Slit

LARGEST_OPENING = 0.088  # face heights between the lips in a loud "ah"
ROUNDED = 0.30  # share of the opening that fully rounded lips take away
OWN_TEETH = 0.58  # share of an opening that a portrait's own opening gives, as far as it goes
PRESSED = 0.01  # face heights that lips which are rolled in must overlap to stay closed
WIDTHS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
EFFORTS = LARGEST_OPENING * np.linspace(0, 1.5, 16)


@dataclass(frozen=True)
class PosedMouth:
    """The mouth in one frame.

    Attributes:
        upper, lower: displacement fields of the skin on each lip, float32 pixels [rows, columns, 2].
        slit: between the lips.
    """

    upper: np.ndarray
    lower: np.ndarray
    slit: Slit


@dataclass(frozen=True)
class Mouth:
    """The mouth of one portrait.

    Attributes:
        lips: where they are in the portrait.
        fields: its basis shapes.
        gaps: how far the lips part, in face heights, at each of `WIDTHS` [rows] for each of `EFFORTS`
            [columns]. Fields that are added up do not quite add up, so this is measured, not assumed.
    """

    lips: Lips
    fields: MouthFields
    frame: FaceFrame
    grid: Grid
    gaps: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, lips: Lips, frame: FaceFrame, grid: Grid) -> "Mouth":
        """Prepare the mouth of a mesh in face coordinates [478, 2]."""
        fields = MouthFields.solve(MouthGeometry.of(points, lips), frame, grid)
        untried = cls(lips, fields, frame, grid, np.zeros((len(WIDTHS), len(EFFORTS))))
        poses = [Pose(width=float(width)) for width in WIDTHS]
        gaps = [[untried._with_effort(pose, float(e)).slit.opening for e in EFFORTS] for pose in poses]
        return cls(lips, fields, frame, grid, np.array(gaps))

    def take(self, pose: Pose) -> PosedMouth:
        """Shape the mouth: the lips part by `pose.opening` of `LARGEST_OPENING`, rounded ones by less."""
        opening = LARGEST_OPENING * pose.opening * (1 - ROUNDED * max(0.0, -pose.width))
        opening -= PRESSED * pose.press
        return self._with_effort(pose, float(np.interp(opening, self._gaps_at(pose.width), EFFORTS)))

    def _gaps_at(self, width: float) -> np.ndarray:
        row = float(np.interp(width, WIDTHS, np.arange(len(WIDTHS))))
        first = min(int(row), len(WIDTHS) - 2)
        return np.asarray(self.gaps[first] + (row - first) * (self.gaps[first + 1] - self.gaps[first]))

    def _with_effort(self, pose: Pose, effort: float) -> PosedMouth:
        upper, lower = self.fields.weighted(mouth_weights(pose, effort, self.lips.opening))
        return PosedMouth(upper, lower, Slit.move(self.lips, upper, lower, self.frame, self.grid))


def mouth_weights(pose: Pose, effort: float, own_opening: float) -> MouthWeights:
    """The shapes that make a pose.

    Args:
        pose: its opening is not looked at.
        effort: face heights that the lips are drawn apart.
        own_opening: face heights that they are apart in the portrait, 0 when closed.
    """
    spread, pucker = max(0.0, pose.width), max(0.0, -pose.width)
    if own_opening:
        kept = min(OWN_TEETH * effort, 0.8 * own_opening)
        return MouthWeights(
            jaw=effort - kept,
            close=1 - kept / own_opening,
            # Whoever shows teeth is smiling, and nobody speaks as wide as that.
            spread=0.017 * spread - 0.014,
            pucker=0.044 * pucker,
            press=0.22 * pose.press,
            brow=0.016 * pose.brow,
        )
    return MouthWeights(
        jaw=0.86 * effort,
        raise_lip=0.14 * effort,
        spread=0.022 * spread,
        pucker=0.046 * pucker,
        press=0.22 * pose.press,
        brow=0.016 * pose.brow,
    )
