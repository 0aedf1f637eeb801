"""The diffusion engine: EchoMimic V1 behind the interface every engine has.

Knows nothing of files but the folder its weights lie in.
"""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.echomimic.checkpoints import load
from models.echomimic.config import OFFICIAL, Architecture
from models.echomimic.layout import Variant
from models.echomimic.lock import read_lock
from models.echomimic.memory import pieces_at_once
from models.echomimic.networks import Networks
from models.echomimic.pictures import decode
from models.echomimic.pipeline import check, condition, denoised, pictures
from models.echomimic.sampler import Conditioning, Sampling, denoise, starting_noise
from models.echomimic.sizes import smaller
from models.errors import Cancelled, OutOfMemory, ParameterError
from models.params import GenerationParams
from models.portrait import Portrait
from models.speech import SAMPLE_RATE, Speech

Precision = Literal["bf16", "fp16", "fp32"]
DTYPES: dict[Precision, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}

# Eight windows of twelve frames at 512² are 100 TFLOP a forward: no kernel launch shows beside that.
MOST_WINDOWS = 8
MOST_PICTURES = 16

# A decoded frame costs as much as two denoised ones: 2.5 against 1.23 TFLOP at 512².
DECODING = 2.0


class EchoMimicEngine:
    """Makes a portrait speak by diffusion.

    Args:
        networks: with their weights, all on one device.
        architecture: what they were built from.
    """

    name = "echomimic"

    def __init__(self, networks: Networks, architecture: Architecture):
        self._networks = networks
        self._architecture = architecture
        self._device = networks.denoiser.device
        self.device = str(self._device)

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str,
        *,
        variant: Variant = "acc",
        precision: Precision | None = None,
        architecture: Architecture = OFFICIAL,
    ) -> tuple["EchoMimicEngine", tuple[str, ...]]:
        """Read the weights; returns the engine and what is odd about the files.

        Where the weights were downloaded, they are first compared with what the hub said of them.

        Args:
            folder: see `checkpoints.load`.
            device: "cpu" or "cuda:0".
            variant: see `checkpoints.load`.
            precision: bf16 on CUDA and fp32 on the CPU unless said otherwise.
            architecture: what the files are expected to fit.

        Raises:
            CheckpointError: a file is missing, broken or another one than expected.
        """
        lock = read_lock(folder)
        if lock is not None:
            lock.check(folder, variant)
        dtype = DTYPES[precision or ("fp32" if device == "cpu" else "bf16")]
        loaded = load(folder, architecture, variant=variant, dtype=dtype, device=device)
        return cls(loaded.networks, architecture), loaded.warnings

    def touch(self) -> None:
        """Have the device compute something, however little, beside the work in progress.

        Raises:
            RuntimeError: it does not compute any more, as after an illegal memory access.
        """
        if self._device.type == "cuda":
            # On a stream of its own: on the common one it would wait for all that is queued there.
            with torch.cuda.stream(torch.cuda.Stream(self._device)):
                torch.ones(1, device=self._device).item()

    def frames(
        self,
        portrait: Portrait,
        speech: Speech,
        params: GenerationParams,
        frame_count: int,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> Iterator[np.ndarray]:
        """Yield `frame_count` frames, uint8 RGB [n, height, width, 3].

        The whole video is denoised before its first frame is decoded. `should_stop` is asked before every
        batch of windows and before every block of frames.

        Raises:
            ParameterError: the model cannot do this, or the device's memory is too small for it; it then
                says what would fit.
            OutOfMemory: the memory is too small for anything.
            Cancelled: `should_stop` returned True.
        """
        sampling = _sampling(params)
        check(self._architecture, params.width, params.height, frame_count, sampling)
        progress = _Progress(sampling, on_progress, should_stop)
        try:
            yield from self._frames(portrait, speech, params, frame_count, progress)
            return
        except torch.OutOfMemoryError:
            pass  # the error holds what filled the memory: let go of it before anything else
        raise self._too_large(params)

    def _frames(
        self,
        portrait: Portrait,
        speech: Speech,
        params: GenerationParams,
        frame_count: int,
        progress: "_Progress",
    ) -> Iterator[np.ndarray]:
        progress.stop_if_asked()
        told = condition(self._networks, portrait.image, portrait.mask, speech.samples, params.fps)
        # As many as the published loop has tokens for. The two or three beyond the end shape the others: the
        # noise is drawn for all frames at once, and the ring of windows closes over them.
        noise = self._noise(params, min(params.length, len(told.audio)))
        sampling = replace(_sampling(params), window_batch=self._windows_at_once(told, noise, params))
        latents = denoised(self._networks, told, noise, sampling, progress.denoising)[:frame_count]
        batch = pieces_at_once(self._device, lambda: self._decode_one(latents), MOST_PICTURES)
        progress.decoding(0.0)
        done = 0
        for block in pictures(self._networks, latents, batch):
            yield block
            done += len(block)
            progress.decoding(done / frame_count)

    def _noise(self, params: GenerationParams, frames: int) -> Tensor:
        scale = self._architecture.latent_scale
        return starting_noise(frames, params.height // scale, params.width // scale, params.seed)

    def _windows_at_once(self, told: Conditioning, noise: Tensor, params: GenerationParams) -> int:
        return pieces_at_once(
            self._device, lambda: self._denoise_one_window(told, noise, _sampling(params)), MOST_WINDOWS
        )

    def _denoise_one_window(self, told: Conditioning, noise: Tensor, sampling: Sampling) -> None:
        window = noise[: sampling.context_frames].to(self._device)
        once = replace(sampling, steps=1, window_batch=1)
        for _ in denoise(self._networks.denoiser, told, window, once, _unheard):
            pass

    def _decode_one(self, latents: Tensor) -> None:
        for _ in decode(self._networks.vae, latents[:1], 1):
            pass

    def _too_large(self, params: GenerationParams) -> ParameterError | OutOfMemory:
        """Find out, by trying, what the memory is large enough for."""
        fits = next((less for less in smaller(params, self._architecture) if self._fits(less.params)), None)
        asked = f"{params.width} × {params.height} pixels with windows of {params.context_frames} frames"
        if fits is None:
            return OutOfMemory(
                f"The memory of {self.device} is too small for {asked}, and for anything smaller. "
                "Another program may be holding it."
            )
        return ParameterError(
            f"The memory of {self.device} is too small for {asked}; {fits.words} would fit.",
            field=fits.field,
            allowed=fits.words,
        )

    def _fits(self, params: GenerationParams) -> bool:
        self._free()
        try:
            self._rehearse(params)
        except torch.OutOfMemoryError:
            return False
        finally:
            self._free()
        return True

    def _rehearse(self, params: GenerationParams) -> None:
        """One window and one picture of a video with these numbers."""
        image = np.zeros((params.height, params.width, 3), np.uint8)
        second = np.zeros(SAMPLE_RATE, np.float32)
        # As many frames a second as a window has: the second then has tokens for all of them.
        told = condition(self._networks, image, image[..., 0], second, fps=params.context_frames)
        noise = self._noise(params, params.context_frames)
        self._denoise_one_window(told, noise, _sampling(params))
        self._decode_one(noise.to(self._device))

    def _free(self) -> None:
        """Give back what no task holds any more."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


class _Progress:
    """Between the stages' own shares and the whole, and between a wish to stop and the error it becomes."""

    def __init__(
        self, sampling: Sampling, on_progress: Callable[[float], None], should_stop: Callable[[], bool]
    ):
        visits = sampling.context_frames / (sampling.context_frames - sampling.context_overlap)
        passes = 2 if sampling.cfg > 1 else 1
        denoising = sampling.steps * visits * passes
        self._denoised = denoising / (denoising + DECODING)
        self._on_progress = on_progress
        self._should_stop = should_stop

    def stop_if_asked(self) -> None:
        if self._should_stop():
            raise Cancelled("Stopped on request.")

    def denoising(self, share: float) -> None:
        self.stop_if_asked()
        self._on_progress(share * self._denoised)

    def decoding(self, share: float) -> None:
        self._on_progress(self._denoised + share * (1 - self._denoised))
        if share < 1:
            self.stop_if_asked()


def _sampling(params: GenerationParams) -> Sampling:
    return Sampling(
        steps=params.steps,
        cfg=params.cfg,
        context_frames=params.context_frames,
        context_overlap=params.context_overlap,
    )


def _unheard(_share: float) -> None:
    pass
