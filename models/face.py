"""Finds faces in a photo with MediaPipe: their landmarks, and the box that EchoMimic's detector would draw.

Knows nothing of files, crops or masks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from models.crop import Box
from models.landmarks import FACE_SIDES, OUTER_EYE_CORNERS

FACE_MESH = 468  # number of landmarks; ten more, for the irises, follow

# Side of the images given to the networks, whose own inputs are 128 to 192 pixels: twice that is enough. They
# shrink images without filtering, so a larger one would be aliased.
VIEW_SIDE = 384

# Faces that fill the photo, or are cut by its border, are found if there is some black around it.
BORDER = 0.5  # of the photo's longer side, half of it at each end

# The detectors miss faces smaller than about a tenth of the picture (measured on pasted faces of 30 to 400
# pixels): if none is found in the whole photo, windows of its shorter side are searched, then of half of it,
# then of a quarter.
WINDOW_DIVISORS = (1, 2, 4)
SMALLEST_WINDOW = 64  # in a smaller one, a tenth would be a face of a few pixels
MOST_WINDOWS = 256  # of one size, about 2 s; a strip that needs more is too thin to show a usable face

# The mesh is read from crops of several sizes and averaged: a single reading shifts with the crop by 0.3 % of
# the face's height, the mean of three by half of that.
CROP_MARGINS = (0.7, 1.0, 1.3)  # of the detected box, added to its larger side

# With MediaPipe's default of 0.5, faces are found in stones and coins once many windows are searched; real
# faces, down to 60 pixels in a photo of 1600, score at least 0.73.
MIN_CONFIDENCE = 0.65

# Where MTCNN's box lies relative to the mesh's hull, in hull widths and heights (in the face's own upright
# frame), fitted to the eleven boxes of tests/data/face_boxes_astronaut.json.
SIDE_INSET = 0.026
TOP_OUTSET = 0.075
BOTTOM_INSET = 0.041
# facenet-pytorch's MTCNN cuts its windows off at the image border but scales its answer as if it had not, so
# the part of a box beyond the border comes out about this many times as long (same fit, two boxes).
BEYOND_BORDER = 2.3


@dataclass(frozen=True)
class Face:
    """A face in a photo.

    Attributes:
        landmarks: float32 [478, 3], MediaPipe's face mesh in pixels of the photo (edges at whole numbers; z
            in the same unit, negative towards the viewer). If the face is cut off, some lie outside it.
        confidence: how sure the detectors are that it is one, from `MIN_CONFIDENCE` to 1.
    """

    landmarks: np.ndarray
    confidence: float

    @property
    def roll(self) -> float:
        """How far it is turned in the plane of the picture, clockwise, in degrees from -180 to 180."""
        right, down, _ = self._from_to(OUTER_EYE_CORNERS)
        return float(np.degrees(np.arctan2(down, right)))

    @property
    def yaw(self) -> float:
        """How far it is turned about its own axis, towards the right of the picture, in degrees."""
        right, down, away = self._from_to(FACE_SIDES)
        return float(np.degrees(np.arctan2(away, np.hypot(right, down))))

    def _from_to(self, ends: tuple[int, int]) -> list[float]:
        step: list[float] = (self.landmarks[ends[1]] - self.landmarks[ends[0]]).tolist()
        return step


def find_faces(photo: Image.Image) -> list[Face]:
    """Find every face, the largest first; small faces are searched for only if there are no larger ones.

    Args:
        photo: an RGB image.
    """
    with _open_networks() as networks:
        for windows in _searches(photo):
            detections = [found for window in windows for found in networks.detect(photo, window)]
            meshes: list[np.ndarray] = []
            for box in [detection.box for detection in detections]:
                seen = any(_inside(mesh, box) for mesh in meshes)  # by another detector or window
                if not seen and (mesh := networks.landmarks(photo, box)) is not None:
                    meshes.append(mesh)
            if meshes:
                faces = [Face(mesh, _confidence(mesh, detections)) for mesh in meshes]
                return sorted(faces, key=_extent, reverse=True)
    return []


def face_box(landmarks: np.ndarray, width: int, height: int) -> Box:
    """The box that MTCNN would draw around this face in a `width` × `height` photo; it may extend beyond it.

    MTCNN's boxes do not grow when a head tilts, so the box is measured along the face's own axes and put
    upright around the same centre.
    """
    to_left, to_right = landmarks[list(OUTER_EYE_CORNERS), :2]
    right = (to_right - to_left) / np.linalg.norm(to_right - to_left)
    axes = np.stack([right, [-right[1], right[0]]])
    hull = landmarks[:FACE_MESH, :2] @ axes.T
    low, high = hull.min(axis=0), hull.max(axis=0)
    size = high - low
    low, high = low + size * [SIDE_INSET, -TOP_OUTSET], high - size * [SIDE_INSET, BOTTOM_INSET]
    centre, half = (low + high) / 2 @ axes, (high - low) / 2
    return _stretched_beyond_border(centre - half, centre + half, np.array([width, height]))


def _stretched_beyond_border(low: np.ndarray, high: np.ndarray, size: np.ndarray) -> Box:
    low = np.where(low < 0, low * BEYOND_BORDER, low)
    high = np.where(high > size, size + (high - size) * BEYOND_BORDER, high)
    x0, y0, x1, y1 = np.round([*low, *high]).astype(int).tolist()
    return Box(x0, y0, x1, y1)


def _searches(photo: Image.Image) -> Iterator[list[Box]]:
    """Lists of windows to search, one list after another, until one of them shows a face."""
    whole = Box(0, 0, *photo.size)
    if max(photo.size) >= SMALLEST_WINDOW:
        yield [_square_around(whole, margin) for margin in (0, BORDER)]
    for side in [min(photo.size) // divisor for divisor in WINDOW_DIVISORS]:
        if side >= SMALLEST_WINDOW:
            yield _grid(photo, side)


def _grid(photo: Image.Image, side: int) -> list[Box]:
    """Squares that cover the photo, each overlapping the next by half; none if there would be too many."""
    step = side // 2
    columns, rows = (range(0, max(length - step, 1), step) for length in photo.size)
    if len(columns) * len(rows) > MOST_WINDOWS:
        return []
    return [Box(x0, y0, x0 + side, y0 + side) for y0 in rows for x0 in columns]


def _inside(mesh: np.ndarray, box: Box) -> bool:
    x, y = mesh[:, :2].mean(axis=0)
    return bool(box.x0 < x < box.x1 and box.y0 < y < box.y1)


def _confidence(mesh: np.ndarray, detections: list["_Detection"]) -> float:
    return max(detection.confidence for detection in detections if _inside(mesh, detection.box))


def _extent(face: Face) -> float:
    return float(np.prod(np.ptp(face.landmarks[:, :2], axis=0)))


def _look(photo: Image.Image, window: Box) -> tuple[Image.Image, int]:
    """A window of the photo, black beyond the photo's edges, and the factor by which it was reduced."""
    reduction = max(window.width // VIEW_SIDE, 1)
    view = Image.new("RGB", (-(-window.width // reduction), -(-window.height // reduction)))
    inside = window.clamped(photo.width, photo.height)
    part = photo.reduce(reduction, (inside.x0, inside.y0, inside.x1, inside.y1))
    view.paste(part, ((inside.x0 - window.x0) // reduction, (inside.y0 - window.y0) // reduction))
    return view, reduction


@contextmanager
def _open_networks() -> Iterator["_Networks"]:
    from mediapipe.python.solutions.face_detection import FaceDetection
    from mediapipe.python.solutions.face_mesh import FaceMesh

    with (
        FaceDetection(model_selection=0) as near,
        FaceDetection(model_selection=1) as far,
        FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh,
    ):
        yield _Networks((near, far), mesh)


@dataclass(frozen=True)
class _Detection:
    """A face that a detector has seen, in pixels of the photo."""

    box: Box
    confidence: float


@dataclass(frozen=True)
class _Networks:
    """MediaPipe's two face detectors (near and far faces) and its face mesh."""

    detectors: tuple[Any, Any]
    mesh: Any

    def detect(self, photo: Image.Image, window: Box) -> list[_Detection]:
        """The faces seen in a window of the photo."""
        view, reduction = _look(photo, window)
        pixels = np.asarray(view)
        found = [face for detector in self.detectors for face in detector.process(pixels).detections or []]
        # MediaPipe 0.10.21 ignores a threshold given to the detector itself.
        sure = [face for face in found if face.score[0] >= MIN_CONFIDENCE]
        relative = [face.location_data.relative_bounding_box for face in sure]
        corners = [(box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height) for box in relative]
        scale = np.array([view.width, view.height, view.width, view.height]) * reduction
        origin = np.array([window.x0, window.y0, window.x0, window.y0])
        boxes = [Box(*np.round(origin + corner * scale).astype(int).tolist()) for corner in corners]
        return [_Detection(box, face.score[0]) for box, face in zip(boxes, sure, strict=True)]

    def landmarks(self, photo: Image.Image, box: Box) -> np.ndarray | None:
        """The face in the box; None unless the mesh finds one at every margin, which is rare in texture."""
        readings = []
        for margin in CROP_MARGINS:
            faces = self._read_meshes(photo, _square_around(box, margin))
            reading = next((face for face in faces if _inside(face, box)), None)
            if reading is None:
                return None
            readings.append(reading)
        mean: np.ndarray = np.mean(readings, axis=0, dtype=np.float32)
        return mean

    def _read_meshes(self, photo: Image.Image, window: Box) -> Iterator[np.ndarray]:
        view, reduction = _look(photo, window)
        scale = np.array([view.width, view.height, view.width]) * reduction
        for face in self.mesh.process(np.asarray(view)).multi_face_landmarks or []:
            points = np.array([[point.x, point.y, point.z] for point in face.landmark])
            yield points * scale + [window.x0, window.y0, 0]


def _square_around(box: Box, margin: float) -> Box:
    side = round(max(box.width, box.height) * (1 + margin))
    x0, y0 = (box.x0 + box.x1 - side) // 2, (box.y0 + box.y1 - side) // 2
    return Box(x0, y0, x0 + side, y0 + side)
