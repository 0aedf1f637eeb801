"""Measures, with MediaPipe, what a face does in a video, and how well it follows a voice."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from models.speech import SAMPLE_RATE

FOREHEAD, CHIN = 10, 152
UPPER_LIP, LOWER_LIP = 13, 14
CORNERS = (61, 291)
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148,
        176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
HAIR = 1.7  # times the oval of the face: what is outside is background, at the height of the face and above
LONGEST_LAG = 5  # frames


@dataclass(frozen=True)
class FaceMotion:
    """A video as MediaPipe sees it; one value a frame.

    Attributes:
        opening: between the lips, in face heights.
        width: of the mouth, in face heights.
        background: mean absolute difference to the first frame outside the head, of 255.
        eyes: height over width of the more open eye.
    """

    opening: np.ndarray
    width: np.ndarray
    background: np.ndarray
    eyes: np.ndarray


def watch(blocks: Iterable[np.ndarray]) -> FaceMotion:
    """Measure frames, uint8 RGB [n, height, width, 3] a block."""
    import mediapipe as mp

    rows, first, outside = [], None, None
    with mp.solutions.face_mesh.FaceMesh(refine_landmarks=True, min_detection_confidence=0.3) as mesh:
        for frame in (frame for block in blocks for frame in block):
            found = mesh.process(frame).multi_face_landmarks
            assert found, "MediaPipe sees no face in a frame"
            points = np.array([(p.x, p.y) for p in found[0].landmark]) * (frame.shape[1], frame.shape[0])
            if first is None:
                first, outside = frame.astype(np.int16), _background(points, frame.shape)
            still = float(np.abs(frame.astype(np.int16) - first)[outside].mean())
            rows.append((*_mouth(points), still, _eyes(points)))
    return FaceMotion(*np.array(rows).T)


def _mouth(points: np.ndarray) -> tuple[float, float]:
    height = _length(points[FOREHEAD] - points[CHIN])
    opening = _length(points[UPPER_LIP] - points[LOWER_LIP])
    return opening / height, _length(points[CORNERS[0]] - points[CORNERS[1]]) / height


def _eyes(points: np.ndarray) -> float:
    left = _length(points[159] - points[145]) / _length(points[33] - points[133])
    right = _length(points[386] - points[374]) / _length(points[362] - points[263])
    return max(left, right)


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


def _background(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """True beside and above the head; below it are neck and shoulders."""
    oval = points[list(OVAL)]
    middle = oval.mean(axis=0)
    head = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(head, cv2.convexHull(np.round(middle + HAIR * (oval - middle)).astype(np.int32)), (1,))
    outside = head == 0
    outside[int(points[CHIN, 1]) :] = False
    assert outside.any(), "the head fills the picture: there is no background to measure"
    return outside


def envelope(samples: np.ndarray, fps: int, frame_count: int) -> np.ndarray:
    """RMS of the speech around each frame, over 80 ms."""
    window = np.hanning(int(0.08 * SAMPLE_RATE))
    power = np.convolve(samples.astype(np.float64) ** 2, window / window.sum(), "same")
    middles = (np.arange(frame_count) + 0.5) / fps * SAMPLE_RATE
    return np.sqrt(np.interp(middles, np.arange(len(power)), np.maximum(power, 0)))


def follows(opening: np.ndarray, loudness: np.ndarray) -> tuple[float, int]:
    """The best correlation of an opening with a speech envelope, and by how many frames the lips lag."""
    inner = slice(LONGEST_LAG, len(opening) - LONGEST_LAG)
    lags = range(-LONGEST_LAG, LONGEST_LAG + 1)
    values = [np.corrcoef(np.roll(opening, -lag)[inner], loudness[inner])[0, 1] for lag in lags]
    best = int(np.argmax(values))
    return float(values[best]), lags[best]


def pauses(samples: np.ndarray, fps: int, frame_count: int) -> np.ndarray:
    """True in frames inside pauses of 300 ms and more; the lips have 80 ms at each end to close and open."""
    hop = SAMPLE_RATE // 100
    power = np.convolve(samples.astype(np.float64) ** 2, np.full(3 * hop, 1 / (3 * hop)), "same")[::hop]
    quiet = power < (0.02**2) * np.percentile(power, 95)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet, [0]])))
    times = (np.arange(frame_count) + 0.5) / fps
    inside = np.zeros(frame_count, bool)
    for start, stop in edges.reshape(-1, 2) / 100:
        if stop - start >= 0.3:
            inside |= (times > start + 0.08) & (times < stop - 0.08)
    return inside
