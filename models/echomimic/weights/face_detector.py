"""MTCNN's weights, from the package `mtcnn`; equal bit for bit to those of the detector that the authors use.

The package is never imported, because it needs TensorFlow.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path

import joblib
import torch
from torch import Tensor, nn

from models.echomimic.networks.face_detector import FaceNetworks, build_face_networks
from models.errors import CheckpointError

PACKAGE = "mtcnn"
VERSION = "1.0.0"

# Its files with their SHA-256: they are pickles, which could run code.
FILES = {
    "propose": ("pnet.lz4", "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5"),
    "refine": ("rnet.lz4", "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee"),
    "decide": ("onet.lz4", "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3"),
}


def load_face_networks() -> FaceNetworks:
    """The networks with their weights, float32, on the CPU.

    Raises:
        CheckpointError: the package is not installed, or its files are not those of `VERSION`.
    """
    networks = build_face_networks()
    for network, (name, digest) in FILES.items():
        _fill(getattr(networks, network), _read(name, digest))
    return networks


def _read(name: str, digest: str) -> list[Tensor]:
    try:
        path = Path(str(distribution(PACKAGE).locate_file(f"{PACKAGE}/assets/weights/{name}")))
        content = path.read_bytes()
    except (PackageNotFoundError, OSError) as error:
        raise CheckpointError(f"the package {PACKAGE} {VERSION} is not installed completely") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(f"{path} is not that of the package {PACKAGE} {VERSION}")
    return [torch.from_numpy(array) for array in joblib.load(BytesIO(content))]


@torch.no_grad()
def _fill(network: nn.Sequential, arrays: list[Tensor]) -> None:
    """Copy what a file holds: the layers in order, then one output after the other."""
    *layers, answers = (module for module in network if isinstance(module, nn.Conv2d | nn.PReLU))
    unread = iter(arrays)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            _fill_layer(layer, _kernels(next(unread), layer.in_channels), next(unread))
        else:
            layer.weight.copy_(next(unread).flatten())
    assert isinstance(answers, nn.Conv2d)
    _fill_layer(answers, *_edges_and_classes(list(unread), answers.in_channels))


def _fill_layer(layer: nn.Conv2d, weights: Tensor, biases: Tensor) -> None:
    for parameter, values in zip(layer.parameters(), (weights, biases), strict=True):
        parameter.copy_(values)


def _edges_and_classes(outputs: list[Tensor], channels: int) -> tuple[Tensor, Tensor]:
    """Weights and biases of the first and the last output; between them, the last network has landmarks."""
    weights, biases = ([pairs[0], pairs[-1]] for pairs in (outputs[::2], outputs[1::2]))
    return torch.cat([_kernels(tensor, channels) for tensor in weights]), torch.cat(biases)


def _kernels(weights: Tensor, channels: int) -> Tensor:
    """Weights of a layer as those of a convolution, [outputs, channels, height, width]."""
    if weights.ndim == 4:
        return weights.permute(3, 2, 0, 1)
    side = round((len(weights) / channels) ** 0.5)  # a dense layer sees [width, height, channels] in one row
    return weights.reshape(side, side, channels, -1).permute(3, 2, 1, 0)
