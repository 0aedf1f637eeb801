"""One task from portrait and speech to frames.

Knows nothing of files, faces or services; portrait and mask are already cut to the video's size.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from models.echomimic.latents import Copy, decode, encode, quantise
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import Architecture
from models.echomimic.sampler import Conditioning, Sampling, Tick, denoise
from models.echomimic.speech_features import speech_tokens
from models.echomimic.windows import windows
from models.errors import ParameterError
from models.params import LIMITS


@torch.inference_mode()
def condition(
    networks: Networks, image: np.ndarray, mask: np.ndarray, samples: np.ndarray, fps: int, most_frames: int
) -> Conditioning:
    """Everything the denoiser is told, computed once.

    Args:
        networks: all on one device.
        image: uint8 RGB [height, width, 3].
        mask: uint8 [height, width], 255 on the face.
        samples: int16 [n] at 16 kHz, the whole speech, whatever of it the video shows.
        fps: video frames per second.
        most_frames: see `speech_tokens`.
    """
    latents = encode(networks.vae, image)
    bank = networks.reference(latents.to(networks.reference.dtype))
    return Conditioning(
        reference=networks.denoiser.project(bank),
        face=_locate(networks.face_locator, mask),
        audio=speech_tokens(networks.speech, samples, fps, most_frames),
    )


def denoised(
    networks: Networks, conditioning: Conditioning, noise: Tensor, sampling: Sampling, tick: Tick
) -> Tensor:
    """Walk all the way from noise to the latents of the whole video.

    Args:
        networks: those that made `conditioning`.
        conditioning: see `condition`.
        noise: see `sampler.starting_noise`; its length is the video's.
        sampling: how to walk.
        tick: see `sampler.denoise`.
    """
    latents = noise.to(networks.denoiser.device)
    for step in denoise(networks.denoiser, conditioning, latents, sampling, tick):
        latents = step.latents
    return latents


def pictures(networks: Networks, latents: Tensor, batch: int) -> Iterator[np.ndarray]:
    """Decode a video piece by piece, one ahead of the piece that is handed out.

    Args:
        networks: on the device of `latents`.
        latents: [frames, 4, height / 8, width / 8].
        batch: frames per piece.

    Yields:
        uint8 RGB [n, height, width, 3], n ≤ `batch`.
    """
    before: Copy | None = None
    for pixels in decode(networks.vae, latents, batch):
        copy = Copy(quantise(pixels))
        if before is not None:
            yield before.wait()  # while this piece is decoded
        before = copy
    if before is not None:
        yield before.wait()


def check(architecture: Architecture, width: int, height: int, frame_count: int, sampling: Sampling) -> None:
    """Refuse what the networks cannot do.

    Raises:
        ParameterError: the sides do not fit the latents, the window is longer than the position
            table, windows overlap entirely, or a video of one frame is asked for.
    """
    scale = architecture.latent_scale
    for field, side in (("width", width), ("height", height)):
        if side % scale:
            raise ParameterError("not_a_multiple", field=field, value=side, multiple=scale)
    if sampling.context_frames > architecture.max_frames:
        raise ParameterError(
            "context_frames_too_many",
            field="context_frames",
            value=sampling.context_frames,
            most=architecture.max_frames,
        )
    windows(frame_count, sampling.context_frames, sampling.context_overlap)
    least = LIMITS.length.least
    if frame_count < least:
        raise ParameterError("length_too_short", field="length", length=frame_count, least=least)


def _locate(face_locator: nn.Module, mask: np.ndarray) -> Tensor:
    weight = next(face_locator.parameters())
    shares = torch.from_numpy(mask).to(weight.device, weight.dtype) / 255.0
    located: Tensor = face_locator(shares[None, None])
    return located
