"""Eyes that blink: a lid of the portrait's own skin slides over each eye, with lashes along its edge."""

from dataclasses import dataclass

import numpy as np

from models.preview import landmarks as mesh
from models.preview.face_frame import FaceFrame
from models.preview.grid import Box, Grid
from models.preview.interior import SHADOW_TINT, color_at
from models.preview.sampling import read, spread
from models.preview.smooth import smoothstep

# Lengths in this file are in widths of the eye.
SHUT_BELOW = 0.10  # height of an eye that is closed in the portrait already
CLOSED_AT = 0.92  # share of the way to the lower lid: there the lashes meet
CREASE = 0.10  # above the open lid's edge
REACH = 0.82  # from the middle of the eye to where the lid has faded out, over the lashes at its corners
SKIN_SPREAD = 0.20  # how far the colour of the skin reaches over the eye
SKIN_DARKEST = (
    0.75  # of the brightness of the cheeks; what is darker is brow, lash, hair or the rim of glasses
)
LEAST_SKIN = 0.35  # share of the surroundings that must be skin, else glasses or hair hide the eye


@dataclass(frozen=True)
class Eyelid:
    """One eye's lid.

    Attributes:
        box: the pixels it can cover, with room for the sway of the head.
        frame: coordinates of the eye; the unit is its width.
        skin: float32 RGB [rows, columns, 3] on `box`, the closed lid without its lashes.
        u: [n] from corner to corner and a little beyond.
        upper, lower: v of the edges of the open eye [n].
        top: v where the lid fades into the skin under the brow [n].
        lash: RGB [3].
    """

    box: Box
    frame: FaceFrame
    skin: np.ndarray
    u: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    top: np.ndarray
    lash: np.ndarray

    def draw(self, picture: np.ndarray, place: np.ndarray, blink: float) -> None:
        """Close the eye.

        Args:
            picture: uint8 RGB pixels of `box` in the drawn frame, changed in place.
            place: where each of them is in the portrait, pixels [rows, columns, 2].
            blink: 0 open to 1 shut.
        """
        eye = self.frame.to_face(place)
        u, v = eye[..., 0], eye[..., 1]
        edge = self.upper + blink * CLOSED_AT * (self.lower - self.upper)
        at_edge, at_top = (np.interp(u, self.u, curve).astype(np.float32) for curve in (edge, self.top))
        pixel = 1 / self.frame.unit
        corners = smoothstep((REACH - np.abs(u)) / 0.22)
        soft = 2.5 * pixel + 0.5 * np.maximum(np.abs(u) - 0.44, 0)
        lid = smoothstep((at_edge - v) / soft + 0.5) * smoothstep((v - at_top) / 0.12) * corners
        local = place - self.box.origin
        skin = read(self.skin, local)
        shown = picture + (skin - picture) * (lid * min(1.0, 3 * blink))[..., None]
        lashes = self._lashes(u, v - at_edge, pixel) * min(1.0, 2 * blink)
        shown += (self.lash - shown) * lashes[..., None]
        picture[:] = np.clip(shown + 0.5, 0, 255).astype(np.uint8)

    def _lashes(self, u: np.ndarray, below: np.ndarray, pixel: float) -> np.ndarray:
        """A line along the edge of the lid: sharp above, soft below where single lashes end."""
        thickness = np.where(below < 0, 0.018, 0.034) + 0.4 * pixel
        return 0.8 * np.exp(-((below / thickness) ** 2)) * smoothstep((0.53 - np.abs(u)) / 0.14)


def find_eyelids(image: np.ndarray, points: np.ndarray, frame: FaceFrame, grid: Grid) -> tuple[Eyelid, ...]:
    """The lids that can be drawn: none over an eye that is shut already, or hidden by glasses or hair.

    Args:
        image: uint8 RGB [height, width, 3].
        points: the face mesh in face coordinates [478, 2].
        frame: the face coordinates.
        grid: of the picture.
    """
    eyes = (
        (mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID, mesh.LEFT_BROW),
        (mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID, mesh.RIGHT_BROW),
    )
    cheek = color_at(image, points, mesh.CHEEKS, frame)
    lids = (_find_eyelid(image, points, frame, grid, cheek, *eye) for eye in eyes)
    return tuple(lid for lid in lids if lid is not None)


def _find_eyelid(
    image: np.ndarray,
    points: np.ndarray,
    frame: FaceFrame,
    grid: Grid,
    cheek: np.ndarray,
    upper_lid: tuple[int, ...],
    lower_lid: tuple[int, ...],
    brow: tuple[int, ...],
) -> Eyelid | None:
    eye = frame.between(points[upper_lid[0]], points[upper_lid[-1]])
    local = eye.to_face(frame.to_pixels(points))
    u = np.linspace(-0.95, 0.95, 77)
    upper, lower, under_brow = (_chain(local[list(chain)], u) for chain in (upper_lid, lower_lid, brow))
    if (lower - upper).max() < SHUT_BELOW:
        return None
    top = np.maximum(upper - 0.30, upper + 0.75 * (under_brow - upper))
    corners = eye.to_pixels(
        np.array([[-0.95, under_brow.min()], [0.95, 0.45], [0.95, under_brow.min()], [-0.95, 0.45]])
    )
    box = grid.box_around(corners, 0.05 * frame.unit)
    at = eye.to_face(box.pixels())
    crop = image[box.slices].astype(np.float32)
    known = _skin_around(crop, at, u, upper, lower, under_brow, cheek)
    if known is None:
        return None
    skin = spread(crop, known, SKIN_SPREAD * eye.unit) * _shading(at, u, upper, lower)
    inside = np.abs(at[..., 0]) < 0.5
    darkest = np.sort(crop[inside].reshape(-1, 3).sum(axis=1))[: max(4, inside.sum() // 50)].max()
    lash = crop[inside & (crop.sum(axis=-1) <= darkest)].mean(axis=0)
    return Eyelid(box, eye, skin.astype(np.float32), u, upper, lower, top, lash)


def _chain(points: np.ndarray, u: np.ndarray) -> np.ndarray:
    order = np.argsort(points[:, 0])
    return np.interp(u, points[order, 0], points[order, 1])


def _skin_around(
    crop: np.ndarray,
    at: np.ndarray,
    u: np.ndarray,
    upper: np.ndarray,
    lower: np.ndarray,
    under_brow: np.ndarray,
    cheek: np.ndarray,
) -> np.ndarray | None:
    """Weights [rows, columns] of the skin above and below the eye; None when there is too little."""
    x, y = at[..., 0], at[..., 1]
    at_upper, at_lower, at_brow = (np.interp(x, u, curve) for curve in (upper, lower, under_brow))
    above = (y < at_upper - 0.55 * (at_upper - at_brow)) & (y > at_brow + 0.02)
    below = (y > at_lower + 0.12) & (y < at_lower + 0.35)
    around = (above | below) & (np.abs(x) < 0.75)
    bright = crop.mean(axis=-1) > SKIN_DARKEST * cheek.mean()
    known = around & bright
    if known.sum() < LEAST_SKIN * around.sum():
        return None
    return known.astype(np.float32)


def _shading(at: np.ndarray, u: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The eyeball behind the lid: lit in the middle, darker to the corners, a crease above."""
    x, y = at[..., 0], at[..., 1]
    edge = np.interp(x, u, upper + CLOSED_AT * (lower - upper))
    crease = np.interp(x, u, upper) - CREASE * np.clip(1 - (x / 0.62) ** 2, 0, 1)
    bulge = 0.08 * np.clip(np.abs(x) / 0.5, 0, 1) ** 2 + 0.10 * np.exp(-(((y - edge) / 0.07) ** 2))
    fold = 0.13 * np.exp(-(((y - crease) / 0.05) ** 2)) * smoothstep((0.60 - np.abs(x)) / 0.3)
    return 1 - (bulge + fold)[..., None] * SHADOW_TINT
