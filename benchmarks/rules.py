"""The deterministic rules behind the goldens: weights, inputs and signals out of nothing but names.

Goldens are what EchoMimic's published code computed with these weights; with another salt they are others.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.echomimic.networks.build import Networks, build
from models.echomimic.networks.config import Architecture
from models.echomimic.weights.checkpoints import published_names

TAGS = {
    "vae": "vae",
    "reference": "reference_unet",
    "face_locator": "face_locator",
    "speech": "whisper",
    "denoiser": "denoising_unet",
}
COMPUTED = ("pos_encoder.pe", "encoder.positional_embedding")  # tables the code computes itself


@dataclass(frozen=True)
class Rules:
    """One family of weights and inputs.

    Attributes:
        salt: goes into every seed; "" for the published set.
    """

    salt: str = ""

    def networks(self, architecture: Architecture) -> Networks:
        """All networks with rule weights, float32 on the CPU."""
        networks = build(architecture)
        for name, network in vars(networks).items():
            self.fill(network, name, TAGS[name])
        networks.speech.embed_positions.weight.copy_(sinusoids(*networks.speech.embed_positions.weight.shape))
        return networks

    def fill(self, network: nn.Module, name: str, tag: str) -> None:
        """Overwrite every tensor that a checkpoint would bring."""
        for key, tensor in network.state_dict().items():
            published = published_names(name, key)[0]
            if not published.endswith(COMPUTED):
                tensor.copy_(self.weight(tag, published, tuple(tensor.shape)))

    def weight(self, tag: str, key: str, shape: tuple[int, ...]) -> Tensor:
        """Normal, scaled so that signals keep their size: fan-in for matrices, around 0 or 1 for vectors."""
        values = self._normal(f"{tag}/{key}", shape)
        if len(shape) >= 2:
            return values.mul_(math.prod(shape[1:]) ** -0.5)
        return values.mul_(0.02) if key.endswith("bias") else values.mul_(0.1).add_(1.0)

    def input(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """What goes into a network under this name."""
        return self._normal(f"input/{name}", shape)

    def _normal(self, name: str, shape: tuple[int, ...]) -> Tensor:
        generator = torch.Generator("cpu").manual_seed(zlib.crc32(f"{self.salt}{name}".encode()))
        return torch.randn(shape, generator=generator, dtype=torch.float32)


def sinusoids(length: int, channels: int) -> Tensor:
    """Whisper's position table: sines in the first half of the channels, cosines in the second."""
    half = channels // 2
    rates = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half))
    angles = torch.arange(length)[:, None] * rates[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def box_mask(width: int, height: int) -> np.ndarray:
    """A face mask, uint8 [height, width], 255 inside."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height - height // 8, width // 4 : width - width // 5] = 255
    return mask


def speech_signal(count: int, salt: str) -> np.ndarray:
    """A buzzing 16 kHz signal, int16 [count]."""
    noise = np.random.RandomState(zlib.crc32(f"{salt}wav".encode()) & 0x7FFFFFFF).randn(count)
    t = np.arange(count) / 16_000
    pitch = 180 + 60 * np.sin(2 * np.pi * 1.7 * t)
    voice = 0.25 * np.sin(2 * np.pi * pitch * t) * (0.5 + 0.5 * np.sin(2 * np.pi * 3.1 * t))
    hiss = 0.2 * np.sin(2 * np.pi * 1250 * t) * (np.sin(2 * np.pi * 2.3 * t) > 0)
    signal = voice + 0.05 * noise + hiss
    return np.clip(np.round(signal * 32767), -32768, 32767).astype("<i2")


def picture(width: int, height: int, salt: str) -> np.ndarray:
    """A noisy texture, uint8 [height, width, 3]."""
    seed = zlib.crc32(f"{salt}img{width}x{height}".encode()) & 0x7FFFFFFF
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    bands = [127 + 80 * np.sin(x / 7.0 + c) + 40 * np.cos(y / 5.0 - c) for c in range(3)]
    grain = np.random.RandomState(seed).randint(-20, 21, (height, width, 3))
    return np.clip(np.stack(bands, -1) + grain, 0, 255).astype(np.uint8)
