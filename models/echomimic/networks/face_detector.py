"""MTCNN's three networks (Zhang et al. 2016, arXiv:1604.02878), all of them convolutions."""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class FaceNetworks:
    """The stages of the cascade, each stricter and larger than the one before.

    Each takes BGR images, float32 [n, 3, h, w] within [-1, 1], and answers float32 [n, 6, rows, columns]: how
    far the left, top, right and bottom edge of the face are from those of the image, as shares of its size;
    then the logits of no face and of a face.

    Attributes:
        propose: judges every square of `PROPOSAL_SIDE`, one each `PROPOSAL_STRIDE` pixels, in an image of any
            size; one row and column for each.
        refine: judges images of `REFINEMENT_SIDE`; one row and column.
        decide: judges images of `DECISION_SIDE`; one row and column.
    """

    propose: nn.Sequential
    refine: nn.Sequential
    decide: nn.Sequential


PROPOSAL_SIDE = 12
PROPOSAL_STRIDE = 2
REFINEMENT_SIDE = 24
DECISION_SIDE = 48

_ANSWERS = 6


def build_face_networks() -> FaceNetworks:
    """The networks without their weights."""
    return FaceNetworks(
        propose=nn.Sequential(
            *_layer(3, 10, kernel=3, pool=2),
            *_layer(10, 16, kernel=3),
            *_layer(16, 32, kernel=3),
            nn.Conv2d(32, _ANSWERS, 1),
        ),
        refine=nn.Sequential(
            *_layer(3, 28, kernel=3, pool=3),
            *_layer(28, 48, kernel=3, pool=3),
            *_layer(48, 64, kernel=2),
            *_layer(64, 128, kernel=3),
            nn.Conv2d(128, _ANSWERS, 1),
        ),
        decide=nn.Sequential(
            *_layer(3, 32, kernel=3, pool=3),
            *_layer(32, 64, kernel=3, pool=3),
            *_layer(64, 64, kernel=3, pool=2),
            *_layer(64, 128, kernel=2),
            *_layer(128, 256, kernel=3),
            nn.Conv2d(256, _ANSWERS, 1),
        ),
    )


def probability(answers: Tensor) -> Tensor:
    """That of a face, [n, rows, columns], within [0, 1]."""
    return answers[:, 4:].softmax(dim=1)[:, 1]


def _layer(inputs: int, outputs: int, *, kernel: int, pool: int = 0) -> list[nn.Module]:
    layer = [nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)]
    return [*layer, nn.MaxPool2d(pool, stride=2, ceil_mode=True)] if pool else layer
