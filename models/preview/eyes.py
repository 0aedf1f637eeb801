"""Eyes that blink: a lid of the portrait's own skin slides over each eye, with lashes along its edge."""

from dataclasses import dataclass

import numpy as np

from models import landmarks as mesh
from models.preview.face_frame import FaceFrame
from models.preview.grid import Box, Grid
from models.preview.interior import SHADOW_TINT, color_at
from models.preview.sampling import read, spread
from models.preview.smooth import smoothstep

# Lengths in this file are in widths of the eye.
SHUT_BELOW = 0.10  # height of an eye that is closed in the portrait already
CLOSED_AT = 0.92  # share of the way to the lower lid: there the lashes meet
CREASE = 0.10  # above the open lid's edge
REACH_TO_TEMPLE = 0.82  # from the middle of the eye to where the lid has faded out, over the lashes
REACH_TO_NOSE = 0.64  # likewise, short of the pads of glasses
SKIN_SPREAD = 0.20  # how far the colour of the skin reaches over the eye
SKIN_DARKEST = 0.75  # of the brightness of the cheeks; darker are brow, lash, hair and the rim of glasses
LEAST_SKIN = 0.35  # share of the surroundings that must be skin, else glasses or hair hide the eye
BEYOND = 0.95  # from the middle of the eye to where nothing of it is drawn

Chains = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # upper lid, lower lid, brow
EYES: tuple[tuple[Chains, int], ...] = (
    ((mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID, mesh.LEFT_BROW), -1),
    ((mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID, mesh.RIGHT_BROW), 1),
)


@dataclass(frozen=True)
class EyeShape:
    """An open eye.

    Attributes:
        frame: coordinates of the eye; the unit is its width.
        u: [n] from corner to corner and beyond.
        upper, lower: v of the edges of the lids [n].
        brow: v of the lower edge of the brow [n].
        outwards: the sign of u towards the temple.
    """

    frame: FaceFrame
    u: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    brow: np.ndarray
    outwards: int

    @classmethod
    def of(cls, points: np.ndarray, chains: Chains, outwards: int, face: FaceFrame) -> "EyeShape":
        """Follow the eye in a mesh in face coordinates [478, 2]."""
        frame = face.between(points[chains[0][0]], points[chains[0][-1]])
        local = frame.to_face(face.to_pixels(points))
        u = np.linspace(-BEYOND, BEYOND, 77)
        upper, lower, brow = (_along(local[list(chain)], u) for chain in chains)
        return cls(frame, u, upper, lower, brow, outwards)

    @property
    def height(self) -> float:
        """How far it is open."""
        return float((self.lower - self.upper).max())

    def edge(self, blink: float) -> np.ndarray:
        """V of the edge of the upper lid [n], 0 open to 1 shut."""
        return np.asarray(self.upper + blink * CLOSED_AT * (self.lower - self.upper))

    def top(self) -> np.ndarray:
        """V where a painted lid fades into the skin under the brow [n]."""
        return np.maximum(self.upper - 0.30, self.upper + 0.75 * (self.brow - self.upper))

    def at(self, curve: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Read a curve [n] at `u`, float32."""
        return np.interp(u, self.u, curve).astype(np.float32)

    def box(self, grid: Grid, margin: float) -> Box:
        """The pixels that the lid can cover, and `margin` more."""
        top, bottom = self.brow.min(), 0.45
        corners = [[-BEYOND, top], [BEYOND, top], [-BEYOND, bottom], [BEYOND, bottom]]
        return grid.box_around(self.frame.to_pixels(np.array(corners)), margin)


@dataclass(frozen=True)
class Eyelid:
    """One eye's lid.

    Attributes:
        eye: what it closes.
        box: the pixels it can cover, with room for the sway of the head.
        skin: float32 RGB [rows, columns, 3] on `box`, the closed lid without its lashes.
        lash: RGB [3].
    """

    eye: EyeShape
    box: Box
    skin: np.ndarray
    lash: np.ndarray

    def draw(self, picture: np.ndarray, place: np.ndarray, blink: float) -> None:
        """Close the eye.

        Args:
            picture: uint8 RGB pixels of `box` in the drawn frame, changed in place.
            place: where each of them is in the portrait, pixels [rows, columns, 2].
            blink: 0 open to 1 shut.
        """
        local = self.eye.frame.to_face(place)
        u, v = local[..., 0], local[..., 1]
        below_edge = v - self.eye.at(self.eye.edge(blink), u)
        lid = self._lid(u, v, below_edge) * min(1.0, 3 * blink)
        lashes = self._lashes(u, below_edge) * min(1.0, 2 * blink)
        skin = read(self.skin, place - self.box.origin)
        shown = picture + (skin - picture) * lid[..., None]
        shown += (self.lash - shown) * lashes[..., None]
        picture[:] = np.clip(shown + 0.5, 0, 255).astype(np.uint8)

    def _lid(self, u: np.ndarray, v: np.ndarray, below_edge: np.ndarray) -> np.ndarray:
        """Opacity: up to the edge, soft beyond the corners and towards the brow."""
        softness = 2.5 / self.eye.frame.unit + 0.5 * np.maximum(np.abs(u) - 0.44, 0)
        reach = np.where(u * self.eye.outwards > 0, REACH_TO_TEMPLE, REACH_TO_NOSE)
        under_brow = smoothstep((v - self.eye.at(self.eye.top(), u)) / 0.12)
        between_corners = smoothstep((reach - np.abs(u)) / 0.22)
        return np.asarray(smoothstep(0.5 - below_edge / softness) * under_brow * between_corners)

    def _lashes(self, u: np.ndarray, below_edge: np.ndarray) -> np.ndarray:
        """Opacity of a line along the edge: sharp above, soft below where single lashes end."""
        thickness = np.where(below_edge < 0, 0.018, 0.034) + 0.4 / self.eye.frame.unit
        line = np.exp(-((below_edge / thickness) ** 2))
        return np.asarray(0.8 * line * smoothstep((0.53 - np.abs(u)) / 0.14))


def find_eyelids(image: np.ndarray, points: np.ndarray, frame: FaceFrame, grid: Grid) -> tuple[Eyelid, ...]:
    """The lids that can be drawn: none over an eye that is shut already, or hidden by glasses or hair.

    Args:
        image: uint8 RGB [height, width, 3].
        points: the face mesh in face coordinates [478, 2].
        frame: the face coordinates.
        grid: of the picture.
    """
    cheek = float(color_at(image, points, mesh.CHEEKS, frame).mean())
    eyes = [EyeShape.of(points, chains, outwards, frame) for chains, outwards in EYES]
    lids = (_paint(image, eye, eye.box(grid, 0.05 * frame.unit), cheek) for eye in eyes)
    return tuple(lid for lid in lids if lid is not None)


def _paint(image: np.ndarray, eye: EyeShape, box: Box, cheek: float) -> Eyelid | None:
    place = eye.frame.to_face(box.pixels())
    crop = image[box.slices].astype(np.float32)
    around = _surroundings(eye, place)
    known = around & (crop.mean(axis=-1) > SKIN_DARKEST * cheek)
    if eye.height < SHUT_BELOW or known.sum() <= LEAST_SKIN * around.sum():
        return None
    skin = spread(crop, known.astype(np.float32), SKIN_SPREAD * eye.frame.unit) * _shading(eye, place)
    return Eyelid(eye, box, skin.astype(np.float32), _darkest(crop[np.abs(place[..., 0]) < 0.5]))


def _along(chain: np.ndarray, u: np.ndarray) -> np.ndarray:
    order = np.argsort(chain[:, 0])
    return np.interp(u, chain[order, 0], chain[order, 1])


def _surroundings(eye: EyeShape, place: np.ndarray) -> np.ndarray:
    """True above and below the eye, clear of lashes and brow, bool [rows, columns]."""
    u, v = place[..., 0], place[..., 1]
    upper, lower, brow = (eye.at(curve, u) for curve in (eye.upper, eye.lower, eye.brow))
    above = (v > brow + 0.02) & (v < upper + 0.55 * (brow - upper))
    below = (v > lower + 0.12) & (v < lower + 0.35)
    return np.asarray((above | below) & (np.abs(u) < 0.75))


def _shading(eye: EyeShape, place: np.ndarray) -> np.ndarray:
    """The eyeball behind the lid: lit in the middle, darker to the corners, a crease above; RGB factors."""
    u, v = place[..., 0], place[..., 1]
    crease = eye.at(eye.upper, u) - CREASE * np.clip(1 - (u / 0.62) ** 2, 0, 1)
    bulge = 0.08 * np.clip(np.abs(u) / 0.5, 0, 1) ** 2
    bulge += 0.10 * np.exp(-(((v - eye.at(eye.edge(1), u)) / 0.07) ** 2))
    fold = 0.13 * np.exp(-(((v - crease) / 0.05) ** 2)) * smoothstep((0.60 - np.abs(u)) / 0.3)
    return np.asarray(1 - (bulge + fold)[..., None] * SHADOW_TINT)


def _darkest(pixels: np.ndarray) -> np.ndarray:
    """The mean of the darkest fiftieth of some pixels [n, 3]: lashes and pupil."""
    order = np.argsort(pixels.sum(axis=1))
    return np.asarray(pixels[order[: max(4, len(pixels) // 50)]].mean(axis=0))
