"""The shapes of the networks: the published EchoMimic V1, and a small sibling for tests and laptops.

Knows nothing of weights, devices or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

AUDIO_STATES = 5  # Whisper-tiny's convolutional stem and its four encoder blocks
AUDIO_CHANNELS = 384  # width of Whisper-tiny, in every preset


@dataclass(frozen=True)
class Architecture:
    """Everything about the networks that the checkpoints' key names and shapes follow from."""

    channels: tuple[int, ...]  # of the four resolutions of both UNets
    vae_channels: tuple[int, ...]
    vae_layers: int  # resnets per resolution of the VAE's encoder
    latent_channels: int = 4
    layers: int = 2  # resnets per resolution on the way down; one more on the way up
    heads: int = 8  # the published `attention_head_dim` counts heads
    norm_groups: int = 32
    max_frames: int = 32  # length of the temporal position table: the largest window
    face_channels: tuple[int, ...] = (16, 32, 96, 256)  # of the face locator, each half the side of the last

    @property
    def latent_scale(self) -> int:
        """Pixels per latent along a side: the VAE halves it between any two of its resolutions."""
        return int(2 ** (len(self.vae_channels) - 1))  # 8 in both presets


OFFICIAL = Architecture(
    channels=(320, 640, 1280, 1280),
    vae_channels=(128, 256, 512, 512),
    vae_layers=2,
)

TINY = Architecture(
    channels=(32, 64, 128, 128),
    vae_channels=(32, 32, 64, 64),
    vae_layers=1,
)

Preset = Literal["official", "tiny"]
PRESETS: Mapping[Preset, Architecture] = {"official": OFFICIAL, "tiny": TINY}


def exact_div(dividend: int, divisor: int) -> int:
    """The quotient of a division that leaves nothing.

    Raises:
        ValueError: it leaves something.
    """
    quotient, rest = divmod(dividend, divisor)
    if rest:
        raise ValueError(f"{dividend} is not divisible by {divisor}")
    return quotient
