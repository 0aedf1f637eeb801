"""From pictures to latents and back: the VAE of Stable Diffusion (sd-vae-ft-mse).

Knows nothing of faces or time.
"""

from collections.abc import Iterator

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

LATENT_GAIN = 0.18215  # brings latents to unit variance (Rombach et al. 2022, section D.1)


@torch.inference_mode()
def encode(vae: AutoencoderKL, image: np.ndarray) -> Tensor:
    """The most likely latents of one picture.

    Args:
        vae: on any device, in any dtype.
        image: uint8 RGB [height, width, 3].

    Returns:
        [1, 4, height / 8, width / 8] in the VAE's dtype.
    """
    pixels = torch.from_numpy(image).to(vae.device).permute(2, 0, 1)[None]
    mean: Tensor = vae.encode((2.0 * (pixels / 255.0) - 1.0).to(vae.dtype)).latent_dist.mean
    return mean * LATENT_GAIN


@torch.inference_mode()
def decode(vae: AutoencoderKL, latents: Tensor, batch: int) -> Iterator[Tensor]:
    """Pictures from latents, several at a time.

    Args:
        vae: on the device of `latents`.
        latents: [frames, 4, height / 8, width / 8].
        batch: the maximum number of pictures per forward pass.

    Yields:
        float32 RGB [n, 3, height, width] within [0, 1], on the VAE's device.
    """
    for part in latents.tensor_split(-(-len(latents) // batch)):
        pixels = vae.decode((part / LATENT_GAIN).to(vae.dtype)).sample.float()
        yield (pixels / 2 + 0.5).clamp(0, 1)


def decode_latents(vae: AutoencoderKL, latents: Tensor, batch: int) -> Iterator[np.ndarray]:
    """Decode a video block by block, staying one block ahead of the one that is yielded.

    Args:
        vae: see `decode`.
        latents: see `decode`.
        batch: the maximum number of frames per block.

    Yields:
        uint8 RGB [n, height, width, 3], n ≤ `batch`.
    """
    before: Copy | None = None
    for pixels in decode(vae, latents, batch):
        copy = Copy(quantise(pixels))
        if before is not None:
            yield before.wait()  # while the device decodes this block
        before = copy
    if before is not None:
        yield before.wait()


def quantise(pixels: Tensor) -> Tensor:
    """[n, 3, height, width] within [0, 1] to uint8 [n, height, width, 3], rounding down as published."""
    return (pixels * 255).to(torch.uint8).permute(0, 2, 3, 1)


class Copy:
    """Pictures that are being copied to the host while the device works on the next ones.

    Args:
        pictures: uint8 [n, height, width, 3] on any device.
    """

    def __init__(self, pictures: Tensor):
        on_cuda = pictures.is_cuda
        # Only pinned memory can be written to asynchronously.
        self._host = torch.empty(pictures.shape, dtype=pictures.dtype, pin_memory=on_cuda)
        self._host.copy_(pictures.contiguous(), non_blocking=True)
        self._arrived = torch.cuda.current_stream(pictures.device).record_event() if on_cuda else None

    def wait(self) -> np.ndarray:
        """The pictures, once they have arrived."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host.numpy()
