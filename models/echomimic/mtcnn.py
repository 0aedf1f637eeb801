"""Finds the face as EchoMimic's authors do: with MTCNN (Zhang et al. 2016), given BGR instead of RGB.

Three networks, each stricter than the one before, judge parts of the photo. Resizing and rounding are those
of facenet-pytorch 2.6, which the authors use, so that the box is theirs, and with it the crop.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from models.crop import Box
from models.echomimic.networks.face_detector import (
    DECISION_SIDE,
    PROPOSAL_SIDE,
    PROPOSAL_STRIDE,
    REFINEMENT_SIDE,
    probability,
)
from models.echomimic.weights.face_detector import load_face_networks

# From the authors' call (antgroup/echomimic, infer_audio2vid_acc.py).
SMALLEST_FACE = 20  # pixels
REDUCTION = 0.709  # of the photo, from one search to the next
PROPOSED, REFINED, DECIDED = 0.6, 0.7, 0.7  # the least probability after each network
CONFIDENT = 0.8  # a face that is cropped is more probable than this

# From facenet-pytorch: how much of a box may be shared with a more probable one.
SHARED_IN_SEARCH, SHARED = 0.5, 0.7

# The largest faces are searched for first; once there are so many proposals, smaller ones are not.
MOST_PROPOSALS = 5_000

# Pixels a side in one forward pass that searches, so that its activations stay in the processor's cache, and
# by how many tiles overlap.
TILE = 512
REACH = PROPOSAL_SIDE - PROPOSAL_STRIDE

BATCH = 128  # proposals judged in one forward pass


@dataclass(frozen=True)
class Faces:
    """Parts of a photo that may be faces.

    Attributes:
        boxes: float32 [n, 4], left, top, right and bottom in pixels of the photo; may reach beyond it.
        probabilities: float32 [n].
        edges: float32 [n, 4], where the network that judged them last sees the edges of the face, relative to
            those of the box, as shares of its width and height.
    """

    boxes: Tensor
    probabilities: Tensor
    edges: Tensor

    @classmethod
    def of(cls, boxes: Tensor, answers: Tensor) -> "Faces":
        """Boxes with a network's answers, [n, 6]."""
        return cls(boxes, probability(answers), answers[:, :4])

    @classmethod
    def joined(cls, parts: list["Faces"]) -> "Faces":
        """All of them, in order."""
        nobody = cls.of(torch.empty(0, 4), torch.empty(0, 6))
        together = [(part.boxes, part.probabilities, part.edges) for part in [nobody, *parts]]
        return cls(*map(torch.cat, zip(*together, strict=True)))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, chosen: Tensor) -> "Faces":
        return Faces(self.boxes[chosen], self.probabilities[chosen], self.edges[chosen])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in the calling thread alone.

    Several threads meet after each layer of each tile, and wait by spinning: where another program has the
    other core, a search took 25 times as long as with one thread.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Mtcnn:
    """The detector. It computes on the CPU, so that a photo has the same box on every machine.

    Raises:
        CheckpointError: see `load_face_networks`.
    """

    def __init__(self) -> None:
        self._networks = load_face_networks()
        for network in vars(self._networks).values():
            network.to(memory_format=torch.channels_last)  # as the images are: 1.6 times as fast

    def __call__(self, photo: Image.Image) -> Box | None:
        """The box of the face that the authors' script crops, of an RGB photo; None if it finds none."""
        faces = self.find(photo)
        boxes = faces.boxes[faces.probabilities > CONFIDENT]
        if not len(boxes):
            return None
        largest = boxes[_sizes(boxes).prod(dim=1).argmax()]
        return Box(*largest.round().int().tolist())

    @torch.inference_mode()
    @_one_thread()
    def find(self, photo: Image.Image) -> Faces:
        """All faces in an RGB photo."""
        pixels = _Pixels(photo)
        proposed = self._propose(pixels)

        refined = _judged(self._networks.refine, REFINEMENT_SIDE, proposed.boxes, pixels)
        refined = _distinct(refined[refined.probabilities > REFINED], SHARED)
        squares = _squares(_moved(refined, inclusive=True))

        decided = _judged(self._networks.decide, DECISION_SIDE, squares, pixels)
        decided = decided[decided.probabilities > DECIDED]
        faces = Faces(_moved(decided, inclusive=True), decided.probabilities, decided.edges)
        return _distinct(faces, SHARED, of_smaller=True)

    def _propose(self, pixels: "_Pixels") -> Faces:
        """Squares, the largest first."""
        found: list[Faces] = []
        for scale in reversed(list(_scales(min(pixels.width, pixels.height)))):
            if sum(map(len, found)) < MOST_PROPOSALS:
                proposals = Faces.joined(list(self._search(pixels, scale)))
                found.append(_distinct(proposals, SHARED_IN_SEARCH))
        proposed = Faces.joined(found)
        squares = _squares(_moved(proposed, inclusive=False))
        return Faces(squares, proposed.probabilities, proposed.edges)

    def _search(self, pixels: "_Pixels", scale: float) -> Iterator[Faces]:
        """Squares that are `PROPOSAL_SIDE` wide in the photo reduced by `scale`, tile by tile."""
        columns, rows = (_cells(side, int(side * scale + 1)) for side in (pixels.width, pixels.height))
        for top, left in product(_tiles(rows), _tiles(columns)):
            tile = pixels.means(columns[:, left : left + TILE + REACH], rows[:, top : top + TILE + REACH])
            (answers,) = self._networks.propose(tile[None])
            places = (probability(answers[None])[0] >= PROPOSED).nonzero()
            corners = places.flip(1) * PROPOSAL_STRIDE + torch.tensor([left, top])
            # One pixel further than it lies, and rounded towards the upper left, as facenet-pytorch does.
            low, high = (((corners + step).float() / scale).floor() for step in (1, PROPOSAL_SIDE))
            yield Faces.of(torch.cat([low, high], dim=1), answers[:, places[:, 0], places[:, 1]].T)


class _Pixels:
    """A photo whose parts can be reduced to any size, each in the time that its new size takes.

    Attributes:
        width: in pixels.
        height: in pixels.
    """

    def __init__(self, photo: Image.Image):
        self.width, self.height = photo.size
        self._photo = photo

    @cached_property
    def _sums(self) -> Tensor:
        """Of everything above and to the left; where they exceed 2^31 they wrap, as their differences do."""
        return torch.from_numpy(cv2.integral(np.asarray(self._photo), sdepth=cv2.CV_32S))

    def means(self, columns: Tensor, rows: Tensor) -> Tensor:
        """What a network is given: BGR within [-1, 1], float32 [3, h, w], each the mean of a cell.

        Args:
            columns: int64 [2, w], the first column of each cell and the one after its last.
            rows: int64 [2, h], likewise.
        """
        (left, right), (top, bottom) = columns, rows
        part = self._sums[:, left[0] : right[-1] + 1]
        bands = part.index_select(0, bottom) - part.index_select(0, top)
        totals = bands.index_select(1, right - left[0]) - bands.index_select(1, left - left[0])
        means = totals.flip(2) / ((right - left) * (bottom - top)[:, None])[..., None]
        return ((means - 127.5) / 128).permute(2, 0, 1)


def _judged(network: nn.Module, side: int, boxes: Tensor, pixels: _Pixels) -> Faces:
    """The boxes in which there is anything of the photo, judged by a network that takes squares of `side`."""
    left, top, right, bottom = boxes.trunc().long().unbind(1)
    # Rows and columns are counted from one, as in facenet-pytorch: those of the edges belong to the box.
    left, top = left.clamp(min=1) - 1, top.clamp(min=1) - 1
    right, bottom = right.clamp(max=pixels.width), bottom.clamp(max=pixels.height)
    seen = ((right > left) & (bottom > top)).nonzero()[:, 0]
    columns, rows = _cells(right - left, side, left), _cells(bottom - top, side, top)

    def judge(batch: Tensor) -> Faces:
        images = torch.stack([pixels.means(columns[index], rows[index]) for index in batch])
        return Faces.of(boxes[batch], network(images)[..., 0, 0])

    return Faces.joined([judge(batch) for batch in seen.split(BATCH) if len(batch)])


def _cells(length: Tensor | int, count: int, start: Tensor | int = 0) -> Tensor:
    """Where the cells of a row of pixels begin and end, int64 [..., 2, count]; neighbours may share a pixel.

    Args:
        length: of the row, [...].
        count: of the cells.
        start: of the row, [...].
    """
    length, start = (torch.as_tensor(number)[..., None] for number in (length, start))
    cells = torch.arange(count)
    first, last = cells * length // count, -(-(cells + 1) * length // count)
    return torch.stack([start + first, start + last], dim=-2)


def _tiles(cells: Tensor) -> range:
    """Where tiles begin along a side of so many cells, [2, n]."""
    return range(0, cells.shape[-1] - REACH, TILE)


def _scales(shorter: int) -> Iterator[float]:
    """By which a photo with this shorter side is reduced, from the least reduction to the greatest."""
    scale = PROPOSAL_SIDE / SMALLEST_FACE
    while shorter * scale >= PROPOSAL_SIDE:
        yield scale
        scale *= REDUCTION


def _sizes(boxes: Tensor) -> Tensor:
    """Widths and heights, [n, 2]."""
    return boxes[:, 2:] - boxes[:, :2]


def _moved(faces: Faces, *, inclusive: bool) -> Tensor:
    """Their boxes with the edges where the network sees them.

    Args:
        faces: [n].
        inclusive: whether the last row and column belong to a box, as facenet-pytorch has it after the first
            network.
    """
    sizes = _sizes(faces.boxes) + int(inclusive)
    return faces.boxes + faces.edges * sizes.repeat(1, 2)


def _squares(boxes: Tensor) -> Tensor:
    """The smallest squares around the same centres that contain the boxes."""
    sizes = _sizes(boxes)
    sides = sizes.amax(dim=1, keepdim=True)
    low = boxes[:, :2] + sizes * 0.5 - sides * 0.5
    return torch.cat([low, low + sides], dim=1)


def _distinct(faces: Faces, most: float, *, of_smaller: bool = False) -> Faces:
    """The most probable ones, without those that share more than `most` with a more probable one.

    Args:
        faces: of these, at most `MOST_PROPOSALS` are considered.
        most: of what two boxes cover together, or of the smaller one.
        of_smaller: whether `most` is a share of the smaller one, and the boxes are inclusive.
    """
    boxes, extra = faces.boxes.numpy(), int(of_smaller)
    areas = (boxes[:, 2:] - boxes[:, :2] + extra).prod(axis=1)
    left = faces.probabilities.argsort(descending=True, stable=True).numpy()[:MOST_PROPOSALS]
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[left, :2]), np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.maximum(high - low + extra, 0).prod(axis=1)
        whole = np.minimum(areas[best], areas[left]) if of_smaller else areas[best] + areas[left] - shared
        left = left[shared <= most * whole]
    return faces[torch.tensor(kept, dtype=torch.long)]
