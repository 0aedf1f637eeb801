"""The diffusion engine: EchoMimic V1 behind the interface every engine has.

Knows nothing of files but the folder its weights lie in.
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.echomimic.compiled import compile_networks
from models.echomimic.latents import decode
from models.echomimic.memory import (
    most_pictures,
    most_windows,
    pieces_at_once,
    ran_out,
    smaller,
    visiting,
)
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import OFFICIAL, Architecture
from models.echomimic.pipeline import check, condition, denoised, pictures
from models.echomimic.sampler import Conditioning, Sampling, starting_noise
from models.echomimic.weights.checkpoints import load
from models.echomimic.weights.lock import read_lock
from models.echomimic.weights.variants import Variant
from models.engine import Control, Scene
from models.errors import OutOfMemory, ParameterError
from models.params import GenerationParams
from models.speech import SAMPLE_RATE

Precision = Literal["bf16", "fp16", "fp32"]
DTYPES: dict[Precision, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}

# A decoded frame costs as much as two denoised ones: 2.5 against 1.23 TFLOP at 512².
DECODING = 2.0


class EchoMimicEngine:
    """Makes a portrait speak by diffusion.

    Args:
        networks: with their weights, all on one device.
        architecture: what they were built from.
        low_memory: the networks are on the host but for the denoiser, and visit its device for their own
            stage; one window and one picture go through a network at once.
    """

    name = "echomimic"

    def __init__(
        self,
        networks: Networks,
        architecture: Architecture,
        *,
        low_memory: bool = False,
    ):
        self._networks = networks
        self._architecture = architecture
        self._low_memory = low_memory
        self._device = networks.denoiser.device
        self.device = str(self._device)
        # Made now: a health check must not fail because a task has taken all the memory.
        self._pulse = torch.zeros(1, device=self._device)
        self._side_stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str,
        *,
        variant: Variant = "acc",
        precision: Precision | None = None,
        architecture: Architecture = OFFICIAL,
        compiled: bool = False,
        low_memory: bool = False,
    ) -> tuple["EchoMimicEngine", tuple[str, ...]]:
        """Read the weights; returns the engine and what is odd about the files.

        Where the weights were downloaded, they are first compared with what the hub said of them.

        Args:
            folder: see `checkpoints.load`.
            device: "cpu" or "cuda:0".
            variant: see `checkpoints.load`.
            precision: bf16 on CUDA and fp32 on the CPU unless said otherwise.
            architecture: what the files are expected to fit.
            compiled: make kernels for videos of the default size before anything is asked; loading then
                takes minutes more. See `compiled.compile_networks`.
            low_memory: see the class.

        Raises:
            CheckpointError: a file is missing, broken or another one than expected.
        """
        lock = read_lock(folder)
        if lock is not None:
            lock.check(folder, variant)
        dtype = DTYPES[precision or ("fp32" if device == "cpu" else "bf16")]
        if device == "cpu":
            use_all_cores()
        # What is to be float32, as the speech encoder always is, is no TensorFloat-32.
        torch.backends.cudnn.allow_tf32 = False
        idle = "cpu" if low_memory else device
        loaded = load(folder, architecture, variant=variant, dtype=dtype, device=device, idle=idle)
        engine = cls(loaded.networks, architecture, low_memory=low_memory)
        if compiled:
            engine.compile(GenerationParams())
        return engine, loaded.warnings

    def compile(self, params: GenerationParams) -> None:
        """Make kernels for videos of this size, with and without guidance."""

        def rehearse() -> None:
            # Kernels for one window or picture are others than those for any larger number.
            for cfg, at_once in product((1.0, 2.0), (1,) if self._low_memory else (1, 2)):
                self._rehearse(replace(params, cfg=cfg), at_once)

        compile_networks(self._networks, rehearse)

    def check_device(self) -> None:
        """Have the device compute something, however little, beside the work in progress.

        Raises:
            RuntimeError: it stopped responding, as CUDA does after an illegal memory access.
        """
        # On a stream of its own: on the common one it would wait for all that is queued there.
        with torch.cuda.stream(self._side_stream):
            self._pulse.add_(1).item()

    def frames(self, scene: Scene, control: Control) -> Iterator[np.ndarray]:
        """Yield `scene.frame_count` frames, uint8 RGB [n, height, width, 3].

        The whole video is denoised before its first frame is decoded. `control` is asked before every batch
        of windows and before every block of frames.

        Raises:
            ParameterError: the model cannot do this, or the device's memory is too small for it; it then
                says what would fit.
            OutOfMemory: the memory is too small for anything.
            Cancelled: the caller asked to stop.
        """
        params = scene.params
        check(self._architecture, params.width, params.height, scene.frame_count, _sampling(params))
        try:
            yield from self._frames(scene, _Progress(params, control))
            return
        except RuntimeError as error:
            if not ran_out(error):
                raise
        # Behind the block: the error holds what filled the memory.
        raise self._too_large(params)

    def _frames(self, scene: Scene, progress: "_Progress") -> Iterator[np.ndarray]:
        params, frame_count = scene.params, scene.frame_count
        progress.stop_if_asked()
        told = self._told(scene.portrait.image, scene.portrait.mask, scene.speech.samples, params)
        progress.denoising(0.0)
        # As many as the published loop has tokens for. The two or three beyond the end shape the others: the
        # noise is drawn for all frames at once, and the ring of windows closes over them.
        latents = self._latents(told, self._noise(params, len(told.audio)), params, progress)[:frame_count]
        progress.decoding(0.0)
        done = 0
        with self._here("vae"):
            for block in self._pictures(latents, params):
                yield block
                done += len(block)
                progress.decoding(done / frame_count)

    def _latents(
        self, told: Conditioning, noise: Tensor, params: GenerationParams, progress: "_Progress"
    ) -> Tensor:
        at_once = self._windows_at_once(told, noise, params)
        sampling = replace(_sampling(params), window_batch=at_once)
        try:
            return denoised(self._networks, told, noise, sampling, progress.denoising)
        except RuntimeError as error:
            if at_once == 1 or not ran_out(error):
                raise
        self._free()
        return denoised(self._networks, told, noise, replace(sampling, window_batch=1), progress.denoising)

    def _pictures(self, latents: Tensor, params: GenerationParams) -> Iterator[np.ndarray]:
        at_once, done = self._pictures_at_once(latents, params), 0
        try:
            for block in pictures(self._networks, latents, at_once):
                yield block
                done += len(block)
            return
        except RuntimeError as error:
            if at_once == 1 or not ran_out(error):
                raise
        self._free()
        yield from pictures(self._networks, latents[done:], 1)

    def _told(
        self, image: np.ndarray, mask: np.ndarray, samples: np.ndarray, params: GenerationParams
    ) -> Conditioning:
        with self._here("vae", "reference", "face_locator", "speech"):
            return condition(self._networks, image, mask, samples, params.fps, params.length)

    @contextmanager
    def _here(self, *names: str) -> Iterator[None]:
        """These networks are on the device while the block runs."""
        if not self._low_memory:
            yield
            return
        with visiting(self._device, *(getattr(self._networks, name) for name in names)):
            yield
        self._free()

    def _noise(self, params: GenerationParams, frames: int) -> Tensor:
        scale = self._architecture.latent_scale
        return starting_noise(frames, params.height // scale, params.width // scale, params.seed)

    def _windows_at_once(self, told: Conditioning, noise: Tensor, params: GenerationParams) -> int:
        most = most_windows(self._architecture, params, len(noise), self._device.type)
        window = noise[: params.context_frames]
        return self._at_once(most, lambda: self._denoise(told, window, params))

    def _pictures_at_once(self, latents: Tensor, params: GenerationParams) -> int:
        most = most_pictures(params, len(latents), self._device.type)
        return self._at_once(most, lambda: self._decode(latents[:1]))

    def _at_once(self, most: int, one: Callable[[], object]) -> int:
        return 1 if self._low_memory else pieces_at_once(self._device, one, most)

    def _denoise(self, told: Conditioning, noise: Tensor, params: GenerationParams) -> None:
        """One step in one forward pass."""
        once = replace(_sampling(params), steps=1, context_overlap=0, window_batch=len(noise))
        denoised(self._networks, told, noise, once, _unheard)

    def _decode(self, latents: Tensor) -> None:
        for _ in decode(self._networks.vae, latents, len(latents)):
            pass

    def _too_large(self, params: GenerationParams) -> ParameterError | OutOfMemory:
        """Find out, by trying, what the memory is large enough for."""
        fits = next((less for less in smaller(params, self._architecture) if self._fits(less.params)), None)
        size = {"width": params.width, "height": params.height, "context_frames": params.context_frames}
        if fits is None:
            return OutOfMemory("out_of_memory", device=self.device, **size)
        return ParameterError(
            "memory_too_small", field=fits.field, device=self.device, fits=fits.words, **size
        )

    def _fits(self, params: GenerationParams) -> bool:
        self._free()
        try:
            self._rehearse(params)
        except RuntimeError as error:
            if not ran_out(error):
                raise
            return False
        finally:
            self._free()
        return True

    def _rehearse(self, params: GenerationParams, at_once: int = 1) -> None:
        """So many windows and pictures at once of a video with these numbers."""
        image = np.zeros((params.height, params.width, 3), np.uint8)
        frames = at_once * params.context_frames
        speech = np.zeros(frames * SAMPLE_RATE // params.fps, np.int16)
        told = self._told(image, image[..., 0], speech, replace(params, length=frames))
        noise = self._noise(params, frames)
        self._denoise(told, noise, params)
        with self._here("vae"):
            self._decode(noise[:at_once].to(self._device))

    def _free(self) -> None:
        """Give back what no task holds any more."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


class _Progress:
    """Between the stages' own shares and the whole, and between a wish to stop and the error it becomes."""

    def __init__(self, params: GenerationParams, control: Control):
        visits = params.context_frames / (params.context_frames - params.context_overlap)
        halves = 2 if params.cfg > 1 else 1
        denoising = params.steps * visits * halves
        self._denoised = denoising / (denoising + DECODING)
        self._on_progress = control.progress
        self.stop_if_asked = control.stop_if_asked

    def denoising(self, share: float) -> None:
        self.stop_if_asked()
        self._on_progress(share * self._denoised)

    def decoding(self, share: float) -> None:
        self._on_progress(self._denoised + share * (1 - self._denoised))
        if share < 1:
            self.stop_if_asked()


def use_all_cores() -> None:
    """Where a scheduler such as Ray has told every library to use one."""
    torch.set_num_threads(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def _sampling(params: GenerationParams) -> Sampling:
    return Sampling(
        steps=params.steps,
        cfg=params.cfg,
        context_frames=params.context_frames,
        context_overlap=params.context_overlap,
    )


def _unheard(_share: float) -> None:
    pass
