"""A portrait that can be posed: prepared once, then drawn frame by frame."""

import cv2
import numpy as np

from models import landmarks as mesh
from models.preview.eyes import find_eyelids
from models.preview.face_frame import FaceFrame
from models.preview.grid import Box, Grid
from models.preview.head import HeadFields
from models.preview.interior import SHADOW_TINT, Interior
from models.preview.lips import SAMPLES, find_lips, without_teeth
from models.preview.mouth import LARGEST_OPENING, Mouth
from models.preview.pose import Pose
from models.preview.sampling import read
from models.preview.slit import Slit, SlitPixels

COVERED_BY_ROUNDED_LIPS = 0.022  # face heights of the teeth
ENLARGED = 3  # times, the portrait that is sampled: see `Puppet`; odd, so that its pixels stay pixels


class Puppet:
    """Draws poses of one portrait.

    A frame is one resampling of the portrait: mouth shape and sway of the head are composed on a coarse grid
    first. The portrait is enlarged once, so that bilinear sampling loses hardly anything between the pixels
    and sharpness does not breathe with the sway.
    """

    def __init__(self, image: np.ndarray, landmarks: np.ndarray):
        """Prepare a portrait.

        Args:
            image: uint8 RGB [height, width, 3], sides multiples of 8.
            landmarks: float32 [478, 3], the face mesh as in `Portrait`.
        """
        height, width = image.shape[:2]
        self.grid = Grid(width, height)
        centred = landmarks[:, :2] - 0.5  # here as in OpenCV the first pixel's centre is at 0
        self.frame = FaceFrame.of(centred, width, height)
        points = self.frame.to_face(centred).astype(np.float64)
        self.lips = find_lips(image, points, self.frame)
        self.mouth = Mouth.of(points, self.lips, self.frame, self.grid)
        self.head_fields = HeadFields.solve(landmarks[:, 2], points, self.frame, self.grid)
        self.interior = Interior.paint(image, points, self.lips, self.frame, self.grid)
        self.eyelids = find_eyelids(image, points, self.frame, self.grid)
        self.source = _enlarged(without_teeth(image, self.lips, self.frame) if self.lips.parted else image)
        self.nodes = self.grid.nodes()
        self.feather = max(1.0 / self.frame.unit, 0.006)
        corners = self.frame.to_pixels(points[list(mesh.CORNERS)] + (0, LARGEST_OPENING / 2))
        self.mouth_box = self.grid.box_around(corners, 0.10 * self.frame.unit)
        self.moving_box = self._moving_box()
        self.still = read(self.source, _in_source(self.grid.whole().pixels()))

    def draw(self, pose: Pose) -> np.ndarray:
        """One frame, uint8 RGB [height, width, 3]."""
        mouth = self.mouth.take(pose)
        # Where in the portrait each node's place is, first without the sway, then without the mouth's shape.
        head = self.nodes - self.head_fields.weighted(pose.head)
        upper, lower = (head - self.grid.sample(field, head) for field in (mouth.upper, mouth.lower))
        lips = self.grid.to_pixels(head, self.mouth_box)
        slit = mouth.slit.at(self.frame.to_face(lips))
        picture = self.still.copy()
        upper, lower = _in_source(upper), _in_source(lower)
        everywhere = _parted(upper, lower, mouth.slit.at(self.frame.to_face(head)))
        self._draw_skin(picture, self.moving_box, self.grid.to_pixels(everywhere, self.moving_box))
        # The parting of the lips is too sharp for the grid.
        on_upper, on_lower = (self.grid.to_pixels(skin, self.mouth_box) for skin in (upper, lower))
        self._draw_skin(picture, self.mouth_box, _parted(on_upper, on_lower, slit))
        self._fill_mouth(picture[self.mouth_box.slices], lips, mouth.slit, slit, pose)
        if pose.blink:
            for lid in self.eyelids:
                lid.draw(picture[lid.box.slices], self.grid.to_pixels(head, lid.box), pose.blink)
        return picture

    def _moving_box(self) -> Box:
        """All that a pose can move; around it the picture is still."""
        bases = (self.mouth.fields.upper, self.mouth.fields.lower, self.head_fields.fields)
        moving = np.any([basis.any(axis=(0, -1)) for basis in bases], axis=0)
        return self.grid.box_around(self.nodes[moving], self.grid.step)

    def _draw_skin(self, picture: np.ndarray, box: Box, skin: np.ndarray) -> None:
        """Fill a box with the skin found at pixels of the source [rows, columns, 2]."""
        read(self.source, skin, into=picture[box.slices])

    def _fill_mouth(
        self, picture: np.ndarray, place: np.ndarray, slit: Slit, at: SlitPixels, pose: Pose
    ) -> None:
        """Show the inside between the lips, and the line where painted-over lips meet."""
        part = _extent(at.near(self.feather))
        at = at.crop(part)
        inside = self._inside(place[part], slit, pose) * _shadow_of_lips(at)
        shown = picture[part].astype(np.float32)
        shown += (inside - shown) * at.opacity(self.feather)[..., None]
        if self.lips.parted:
            shown += (self.interior.seam_color - shown) * at.seam(self.feather)[..., None]
        picture[part] = np.clip(shown + 0.5, 0, 255).astype(np.uint8)

    def _inside(self, place: np.ndarray, slit: Slit, pose: Pose) -> np.ndarray:
        down = slit.middle(slit.lower) - self.lips.lower[SAMPLES // 2]
        cover = 0.0 if self.lips.parted else COVERED_BY_ROUNDED_LIPS * max(0.0, -pose.width)
        return self.interior.look(place, down * self.frame.axes[1], cover * self.frame.axes[1])


def _parted(upper: np.ndarray, lower: np.ndarray, slit: SlitPixels) -> np.ndarray:
    """Each pixel's place on the lip that it hangs on."""
    below = slit.below()
    return np.asarray(upper + cv2.merge([below, below]) * (lower - upper))


def _extent(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of a box around what is true; at least one of each."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Pixel (x, y) is at exactly `_in_source` of (x, y), so that what does not move stays as it is."""
    height, width = image.shape[:2]
    return cv2.resize(image, (ENLARGED * width, ENLARGED * height), interpolation=cv2.INTER_LANCZOS4)


def _in_source(place: np.ndarray) -> np.ndarray:
    """From pixels of the portrait to those of its enlargement, whose edges (not centres) coincide."""
    return np.asarray(place * np.float32(ENLARGED) + np.float32((ENLARGED - 1) / 2))


def _shadow_of_lips(at: SlitPixels) -> np.ndarray:
    """Lips keep the light from what is just behind them: RGB factors [rows, columns, 3]."""
    upper = 0.35 * np.exp(-np.maximum(at.v - at.upper, 0) / 0.010)
    lower = 0.20 * np.exp(-np.maximum(at.lower - at.v, 0) / 0.012)
    light: np.ndarray = 1 - (1 - (1 - upper) * (1 - lower))[..., None] * SHADOW_TINT
    return light
