"""Where the published weights are, below one folder. Knows nothing of what is in the files."""

from pathlib import Path, PurePosixPath

from models.echomimic.weights.variants import Variant

SUFFIXES = (
    ".safetensors",
    ".pth",
    ".pt",
    ".bin",
)  # a file may come in any of these formats, preferred first
CONFIG = PurePosixPath("sd-image-variations-diffusers/unet/config.json")  # checked if it exists


def stems(variant: Variant) -> dict[str, tuple[str, ...]]:
    """Files of each network, without suffix; a tensor is taken from the first file that has it."""
    suffix = "_acc" if variant == "acc" else ""
    return {
        "vae": ("sd-vae-ft-mse/diffusion_pytorch_model",),
        "reference": ("reference_unet",),
        "face_locator": ("face_locator",),
        "speech": ("audio_processor/whisper_tiny",),
        "denoiser": (f"denoising_unet{suffix}", f"motion_module{suffix}"),
    }


def missing(folder: Path, variant: Variant) -> list[str]:
    """The files, without suffix, that `folder` does not have in any format."""
    wanted = (stem for group in stems(variant).values() for stem in group)
    return [stem for stem in wanted if not any((folder / f"{stem}{suffix}").is_file() for suffix in SUFFIXES)]
