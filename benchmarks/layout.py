"""The files of the published layout, written from networks at hand, for benchmarks and tests."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import TINY, Architecture
from models.echomimic.weights.checkpoints import published_names

VAE = "sd-vae-ft-mse/diffusion_pytorch_model.safetensors"
CONFIG = "sd-image-variations-diffusers/unet/config.json"


def published(networks: Networks, name: str) -> dict[str, Tensor]:
    """A network's tensors as its files name them."""
    state = getattr(networks, name).state_dict()
    return {published_names(name, key)[0]: tensor for key, tensor in state.items()}


def write_layout(networks: Networks, folder: Path, architecture: Architecture = TINY) -> None:
    """The accelerated variant."""
    for path in (VAE, CONFIG, "audio_processor/whisper_tiny.pt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    denoiser = published(networks, "denoiser")
    motion = {key: value for key, value in denoiser.items() if "motion_modules" in key}
    rest = {key: value for key, value in denoiser.items() if key not in motion}
    speech = published(networks, "speech") | {"decoder.token_embedding.weight": torch.zeros(2, 2)}
    torch.save(rest, folder / "denoising_unet_acc.pth")
    torch.save(motion, folder / "motion_module_acc.pth")
    torch.save(published(networks, "reference"), folder / "reference_unet.pth")
    torch.save(published(networks, "face_locator"), folder / "face_locator.pth")
    torch.save(
        {"dims": {"n_mels": 80}, "model_state_dict": speech}, folder / "audio_processor/whisper_tiny.pt"
    )
    save_file(published(networks, "vae"), folder / VAE)
    (folder / CONFIG).write_text(
        json.dumps(
            {
                "block_out_channels": list(architecture.channels),
                "attention_head_dim": architecture.heads,
                "layers_per_block": architecture.layers,
                "norm_num_groups": architecture.norm_groups,
                "in_channels": architecture.latent_channels,
            }
        )
    )
