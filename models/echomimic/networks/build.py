"""All networks of EchoMimic together, and how to build them from an architecture.

Knows nothing of weights.
"""

from dataclasses import dataclass

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import nn

from models.echomimic.networks.config import Architecture
from models.echomimic.networks.denoiser import DenoisingNet
from models.echomimic.networks.reference import ReferenceNet
from models.echomimic.networks.speech_encoder import SpeechEncoder


@dataclass(frozen=True)
class Networks:
    """What a task needs; the fields are the stages in the order the data meets them."""

    vae: AutoencoderKL
    reference: ReferenceNet
    face_locator: nn.Module  # mask [frames, 1, height, width] in [0, 1] to [frames, channels, h / 8, w / 8]
    speech: SpeechEncoder
    denoiser: DenoisingNet


def build(architecture: Architecture) -> Networks:
    """Networks for inference with no particular weights; build on the meta device to have none at all."""
    networks = Networks(
        vae=_vae(architecture),
        reference=ReferenceNet(architecture),
        face_locator=face_locator(architecture),
        speech=SpeechEncoder(),
        denoiser=DenoisingNet(architecture),
    )
    for network in vars(networks).values():
        network.eval().requires_grad_(False)
    return networks


def face_locator(architecture: Architecture) -> ControlNetConditioningEmbedding:
    """The convolutions that tell the denoiser where the face is; ControlNet's (Zhang et al. 2023) layout."""
    return ControlNetConditioningEmbedding(
        conditioning_embedding_channels=architecture.channels[0],
        conditioning_channels=1,
        block_out_channels=architecture.face_channels,
    )


def _vae(architecture: Architecture) -> AutoencoderKL:
    levels = len(architecture.vae_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=architecture.vae_channels,
        layers_per_block=architecture.vae_layers,
        latent_channels=architecture.latent_channels,
        norm_num_groups=architecture.norm_groups,
    )
