"""What is seen between the lips: teeth that stay with the skull, a tongue that goes with the jaw."""

from dataclasses import dataclass

import cv2
import numpy as np

from models import landmarks as mesh
from models.preview.face_frame import FaceFrame
from models.preview.grid import Box, Grid
from models.preview.lips import Lips
from models.preview.sampling import read
from models.preview.smooth import smoothstep

# Upper teeth from the middle outwards: widths relative to a central incisor of 8.5 mm in a face of 165 mm
# (adult means, Wheeler's Dental Anatomy), foreshortened as the dental arch bends away from the viewer.
INCISOR = 8.5 / 165
TOOTH_WIDTHS = np.array([1.0, 0.78, 0.86, 0.72, 0.60]) * [1.0, 0.97, 0.85, 0.68, 0.50] * INCISOR
TOOTH_LENGTHS = np.array([0.060, 0.056, 0.057, 0.051, 0.047])  # face heights, with what the lip hides
HIDDEN_BY_LIP = 0.038  # face heights of tooth above the edge of a closed upper lip
ENAMEL = np.array([226, 214, 200], np.float32) * 0.84  # RGB in the light of an average portrait
TYPICAL_SKIN = 185.0  # brightness of the skin in that light
# RGB; light that has passed through skin leaves shadows reddish.
SHADOW_TINT = np.array([0.85, 1.05, 1.1], np.float32)
DARK = np.array([17, 7, 9], np.float32)
FLESH = np.array([120, 66, 70], np.float32)


@dataclass(frozen=True)
class Interior:
    """Layers of the mouth in the pixels of `box`.

    Attributes:
        box: of the portrait.
        skull: float32 RGB [rows, columns, 3]; teeth on darkness, never warped.
        tongue: float32 opacity [rows, columns, 1] with the jaw up.
        tongue_color, seam_color: RGB [3]; the tongue, and the shadow where painted lips meet.
    """

    box: Box
    skull: np.ndarray
    tongue: np.ndarray
    tongue_color: np.ndarray
    seam_color: np.ndarray

    @classmethod
    def paint(
        cls, image: np.ndarray, points: np.ndarray, lips: Lips, frame: FaceFrame, grid: Grid
    ) -> "Interior":
        """Paint the layers in the light and colours of the portrait."""
        box = grid.box_around(frame.to_pixels(lips.upper_edge()), 0.2 * frame.unit)
        face = frame.to_face(box.pixels())
        skin, lip = (
            color_at(image, points, mesh.CHEEKS, frame),
            color_at(image, points, mesh.LOWER_MIDDLE[2:7], frame),
        )
        light = float(np.clip(skin.mean() / TYPICAL_SKIN, 0.45, 1.12))
        dark = DARK * light + 0.10 * lip
        if lips.parted:
            skull = _photographed(image[box.slices].astype(np.float32), face, lips, lip, dark, frame)
        else:
            skull = _painted_teeth(face, lips, skin, dark, light, frame)
        tongue_color = lip * 0.42 + FLESH * 0.30 * light
        return cls(box, skull, _tongue(face, lips)[..., None], tongue_color, lip * 0.35)

    def look(self, place: np.ndarray, jaw: np.ndarray, cover: np.ndarray) -> np.ndarray:
        """The inside as seen at `place`, float32 RGB.

        Args:
            place: pixels of the portrait [rows, columns, 2] before any mouth shape.
            jaw: pixels [2] that the lower lip has gone down.
            cover: pixels [2] that rounded lips have gone down over the teeth.
        """
        local = place - self.box.origin
        skull = read(self.skull, local + cover.astype(np.float32))
        tongue = 0.75 * read(self.tongue, local - jaw.astype(np.float32))[..., None]
        shown: np.ndarray = skull + (self.tongue_color - skull) * tongue
        return shown


def color_at(image: np.ndarray, points: np.ndarray, indices: tuple[int, ...], frame: FaceFrame) -> np.ndarray:
    """The median colour of the portrait at some landmarks, float32 RGB [3]."""
    height, width = image.shape[:2]
    x, y = np.round(frame.to_pixels(points[list(indices)])).astype(int).T
    samples = image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.asarray(np.median(samples, axis=0), dtype=np.float32)


def _painted_teeth(
    face: np.ndarray, lips: Lips, skin: np.ndarray, dark: np.ndarray, light: float, frame: FaceFrame
) -> np.ndarray:
    """An arch of upper teeth for a portrait that shows none."""
    ends = np.concatenate([[0], np.cumsum(TOOTH_WIDTHS)])
    across, v = np.abs(face[..., 0] - lips.middle), face[..., 1]
    tooth = np.clip(np.searchsorted(ends, across, "right") - 1, 0, len(TOOTH_WIDTHS) - 1)
    from_middle = np.abs(across - (ends[tooth] + ends[tooth + 1]) / 2) / (ends[tooth + 1] - ends[tooth]) * 2
    root = np.interp(lips.middle, lips.u, lips.upper) - HIDDEN_BY_LIP
    rise = 0.30 * INCISOR * (across / lips.half_width) ** 2  # the arch bends up and away to the sides
    edge = root + TOOTH_LENGTHS[tooth] * (1 - 0.07 * np.clip(from_middle, 0, 1) ** 4) - rise
    soft = max(1.2 / frame.unit, 0.008)
    opacity = smoothstep((edge - v) / soft / 1.2 + 0.5) * smoothstep((ends[-1] - across) / soft / 2 + 0.5)
    between = 1 - 0.10 * smoothstep((from_middle - 0.78) / 0.22) * smoothstep(
        (v - root) / TOOTH_LENGTHS[tooth] * 2
    )
    turned_away = 1 - 0.50 * np.clip(across / ends[-1], 0, 1) ** 2.2
    under_lip = 0.82 + 0.18 * smoothstep((v - root) / 0.05)
    teeth = (ENAMEL * light + 0.14 * skin) * (between * turned_away * under_lip)[..., None]
    return np.asarray(dark + (teeth - dark) * opacity[..., None], dtype=np.float32)


def _photographed(
    crop: np.ndarray, face: np.ndarray, lips: Lips, lip: np.ndarray, dark: np.ndarray, frame: FaceFrame
) -> np.ndarray:
    """The portrait's own open mouth, cut out along its lips."""
    u, v = face[..., 0], face[..., 1]
    upper, lower = np.interp(u, lips.u, lips.upper), np.interp(u, lips.u, lips.lower)
    soft = max(0.8 / frame.unit, 0.005)
    opacity = smoothstep((v - upper) / soft + 0.1) * smoothstep((lower - v) / soft + 0.1)
    opacity *= smoothstep((lips.half_width - np.abs(u - lips.middle)) / soft)
    # Gums stay above; below, what is as red as the lip is a rim of it that would hang under the teeth.
    redness = cv2.GaussianBlur(crop[..., 0] - crop[..., 1], (0, 0), 0.7)
    lip_redness = max(8.0, float(lip[0] - lip[1]))
    is_lip = smoothstep((redness - 0.50 * lip_redness) / (0.35 * lip_redness))
    lower_half = smoothstep((v - (upper + 0.45 * (lower - upper))) / soft + 0.5)
    opacity *= 1 - 0.9 * is_lip * lower_half
    return np.asarray(dark + (crop - dark) * opacity[..., None], dtype=np.float32)


def _tongue(face: np.ndarray, lips: Lips) -> np.ndarray:
    """A soft hump behind the lower lip."""
    across = (face[..., 0] - lips.middle) / lips.half_width
    top = np.interp(face[..., 0], lips.u, lips.lower) - 0.036 * np.exp(-((across / 0.55) ** 2))
    opacity = 0.8 * smoothstep((face[..., 1] - top) / 0.024) * np.clip(1 - np.abs(across) ** 3, 0, 1)
    return np.asarray(opacity, dtype=np.float32)
