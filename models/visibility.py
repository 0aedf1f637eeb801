"""How much of a face a photo shows: whether it looks at the viewer, and whether its mouth can be seen.

The mesh always has a mouth: if something covers it, MediaPipe guesses where it is. So lips are looked for in
the photo, by what tells them from skin: they are redder, and there is light and shade between nose and chin.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from models import landmarks as mesh
from models.crop import Box
from models.face import Face

# Degrees. The preview's mouth looked right in photos of faces at 3 to 34 degrees, and torn at 46 and 53.
MOST_YAW = 40

# Skin that a mask or a hand in front of the mouth leaves free: brows, bridge of the nose, upper cheeks.
UPPER_FACE = (151, 9, 8, 168, 6, 108, 337, 50, 280)

VIEW_SIDE = 192  # pixels
EYE_DISTANCE = 77  # pixels of the view between the outer corners; a mouth is about 48 wide
SKIN = (2, 6)  # pixels: what is further than this from the lips, but not than that, is skin
MIDDLE = (0.2, 0.8)  # of the mouth's width, where its shape is plainest

# Tried on 308 pictures of uncovered mouths (seven faces, each also dark, grey, blurred, tinted, small or
# tilted, and 98 small grey faces) and 367 of mouths covered by rectangles and ovals of nine colours, plain,
# shaded, noisy or folded, and by textures: two of the uncovered are taken for covered, and one in twenty of
# the covered is missed, where there are strong folds or patterns.
LEAST_DETAIL = 0.03  # `_Mouth.detail` of uncovered mouths: 0.05 and more; of plain covers 0.01
LEAST_REDNESS = 0.4  # `_Mouth.redness` of lips that can be seen: 0.5 to 2.7
LEAST_RELIEF = 0.045  # `_Mouth.relief` of uncovered mouths: 0.06 to 0.6
LEAST_RELIEF_OF_RED_LIPS = 0.02  # red light, or a red mask, is no lip
OTHER_COLOUR = 15  # `_Mouth.difference_from_face` of cloth; then its folds may be the relief
LEAST_RELIEF_IN_OTHER_COLOUR = 0.08
JUST_NOTICEABLE = 1  # difference in CIELAB


def is_turned_away(face: Face) -> bool:
    """Whether it looks to the side by more than an engine can animate."""
    return abs(face.yaw) > MOST_YAW


def mouth_is_covered(photo: Image.Image, face: Face) -> bool:
    """Whether no lips can be seen where the mouth should be.

    Args:
        photo: the RGB image in which the face is.
        face: its landmarks are in pixels of the photo.
    """
    mouth = _Mouth.seen(photo, face.landmarks)
    least = LEAST_RELIEF
    if mouth.redness >= LEAST_REDNESS:
        least = LEAST_RELIEF_OF_RED_LIPS
    elif mouth.difference_from_face > OTHER_COLOUR:
        least = LEAST_RELIEF_IN_OTHER_COLOUR
    return mouth.relief < least or mouth.detail < LEAST_DETAIL


@dataclass(frozen=True)
class _Mouth:
    """What the photo shows where the mesh has the mouth.

    Attributes:
        redness: how far the lips' a* is above that of what surrounds them, in standard deviations.
        relief: how much the lightness goes up and down between nose and chin, beyond what a light from above
            or below would do, as a share of the lightness of the face.
        detail: standard deviation of the lightness within the lips, as a share of the same.
        difference_from_face: distance in a* and b* between what surrounds the lips and the upper face.
    """

    redness: float
    relief: float
    detail: float
    difference_from_face: float

    @classmethod
    def seen(cls, photo: Image.Image, landmarks: np.ndarray) -> "_Mouth":
        """Look at a mouth; the landmarks are in pixels of the photo."""
        lab, points = _level_view(photo, landmarks)
        lips = _area(points[[*mesh.UPPER_OUTER, *mesh.LOWER_OUTER[::-1]]])
        skin = _grown(lips, SKIN[1]) & ~_grown(lips, SKIN[0])
        lips_lab, skin_lab = lab[lips], lab[skin]
        spread = np.sqrt((lips_lab[:, 1].var() + skin_lab[:, 1].var()) / 2 + JUST_NOTICEABLE**2)
        lightness = _lightness_downwards(lab[..., 0], points, lips, skin)
        light_from_one_side = np.linspace(lightness[0], lightness[-1], len(lightness))
        columns, rows = points[[*UPPER_FACE]].astype(int).clip(0, VIEW_SIDE - 1).T
        around, upper_face = skin_lab.mean(axis=0), np.median(lab[rows, columns], axis=0)
        bright = max(around[0], upper_face[0], 1)
        return cls(
            redness=float((lips_lab[:, 1].mean() - around[1]) / spread),
            relief=float(np.ptp(lightness - light_from_one_side) / bright),
            detail=float(lips_lab[:, 0].std() / bright),
            difference_from_face=float(np.linalg.norm((around - upper_face)[1:])),
        )


def _level_view(photo: Image.Image, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face with level eyes, CIELAB float32 [VIEW_SIDE, VIEW_SIDE, 3]; its landmarks in there [478, 2]."""
    import cv2

    points = landmarks[:, :2]
    left, right = points[[*mesh.OUTER_EYE_CORNERS]]
    x, y = (right - left) * EYE_DISTANCE / np.sum((right - left) ** 2)
    turn = np.array([[x, y], [-y, x]])
    shift = VIEW_SIDE / 2 - turn @ points[mesh.NOSE_TIP]
    reduction = max(int(1 / np.hypot(x, y)), 1)  # without it, a large photo would be aliased
    corners = np.concatenate([points.min(axis=0), points.max(axis=0)]).round().astype(int).tolist()
    box = Box(*corners).dilated(0.3).clamped(*photo.size)
    part = np.asarray(photo.reduce(reduction, (box.x0, box.y0, box.x1, box.y1)))
    to_view = np.column_stack([turn * reduction, turn @ [box.x0, box.y0] + shift])
    view = cv2.warpAffine(part, to_view, (VIEW_SIDE, VIEW_SIDE), borderMode=cv2.BORDER_REPLICATE)
    return cv2.cvtColor(view.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), points @ turn.T + shift


def _lightness_downwards(
    lightness: np.ndarray, points: np.ndarray, lips: np.ndarray, skin: np.ndarray
) -> np.ndarray:
    """Mean lightness in the middle of five bands: skin, upper lip, between the lips, lower lip, skin."""
    upper, lower = points[[*mesh.UPPER_INNER]], points[[*mesh.LOWER_INNER]]
    line = (upper + lower) / 2  # of a closed mouth nothing else is seen
    between = _area(np.concatenate([upper, lower[::-1]])) | _area(np.concatenate([line - [0, 1], line[::-1]]))
    rows, columns = np.indices(lips.shape)
    from_left, from_right = np.quantile(line[[0, -1], 0], MIDDLE)
    middle = (columns > from_left) & (columns < from_right)
    above = rows < np.interp(columns, line[:, 0], line[:, 1])
    bands = (skin & above, lips & ~between & above, between, lips & ~between & ~above, skin & ~above)
    return np.array([lightness[band & middle].mean() for band in bands if (band & middle).any()])


def _area(outline: np.ndarray) -> np.ndarray:
    """The pixels of the view that lie inside, bool [VIEW_SIDE, VIEW_SIDE], those on the outline too."""
    area = Image.new("L", (VIEW_SIDE, VIEW_SIDE))
    ImageDraw.Draw(area).polygon([tuple(point) for point in outline.tolist()], fill=255, outline=255)
    return np.asarray(area) > 0


def _grown(area: np.ndarray, pixels: int) -> np.ndarray:
    return np.asarray(Image.fromarray(area).convert("L").filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0
