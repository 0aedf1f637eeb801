"""One task from portrait and speech to frames: condition → prepare_latents → denoise → decode_latents.

Knows nothing of files, faces or services; portrait and mask are already cut to the video's size.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from models.echomimic.latents import decode, decode_latents, encode
from models.echomimic.memory import batch_size, max_decoded, max_windows, ran_out, release, visiting
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import Architecture
from models.echomimic.sampler import Conditioning, OnProgress, denoise, prepare_latents
from models.echomimic.speech_features import speech_tokens
from models.echomimic.windows import windows
from models.engine import Control, Scene
from models.errors import ParameterError
from models.params import LIMITS, GenerationParams
from models.portrait import Portrait
from models.speech import SAMPLE_RATE, Speech

# A decoded frame costs as much as two denoised ones: 2.5 against 1.23 TFLOP at 512².
DECODING = 2.0


class Pipeline:
    """The stages, in the order in which a task passes through them.

    Args:
        networks: with their weights, all on one device.
        architecture: what they were built from.
        low_memory: all networks but the denoiser are on the host, and visit its device only for their own
            stage; windows and frames pass through a network one at a time.
    """

    def __init__(self, networks: Networks, architecture: Architecture, *, low_memory: bool = False):
        self.networks = networks
        self.architecture = architecture
        self.low_memory = low_memory
        self.device = networks.denoiser.device

    def __call__(self, scene: Scene, control: Control) -> Iterator[np.ndarray]:
        """Yield the frames in blocks, uint8 RGB [n, height, width, 3]; the first one after all are denoised.

        Raises:
            Cancelled: the caller asked to stop.
            RuntimeError: the memory is too small even for one window or one frame; see `memory.ran_out`.
        """
        params, progress = scene.params, _Shares(scene.params, control)
        control.stop_if_asked()
        conditioning = self._condition(scene)
        progress.denoising(0.0)
        # As many frames as the published loop has tokens for. The two or three beyond the end influence the
        # others: the noise is drawn for all frames at once, and the ring of windows includes them.
        noise = prepare_latents(self.architecture, params, len(conditioning.audio))
        latents = self._denoise(conditioning, noise, params, progress.denoising)
        yield from self._decode(latents[: scene.frame_count], params, progress.decoding)

    def warm_up(self, params: GenerationParams, at_once: int = 1) -> None:
        """Pass a blank scene through all stages: one step for `at_once` windows, then `at_once` frames."""
        frames = at_once * params.context_frames
        image = np.zeros((params.height, params.width, 3), np.uint8)
        portrait = Portrait(image, image[..., 0], landmarks=None)
        speech = Speech(np.zeros(frames * SAMPLE_RATE // params.fps, np.int16))
        conditioning = self._condition(Scene(portrait, speech, replace(params, length=frames), frames))
        noise = prepare_latents(self.architecture, params, frames)
        self._denoise_once(conditioning, noise, params)
        with self._visit("vae"):
            self._decode_once(noise[:at_once].to(self.device))

    def window_batch(self, conditioning: Conditioning, noise: Tensor, params: GenerationParams) -> int:
        """How many windows of a video go into one forward pass."""
        limit = max_windows(self.architecture, params, len(noise), self.device.type)
        window = noise[: params.context_frames]
        return self._batch_size(lambda: self._denoise_once(conditioning, window, params), limit)

    def frame_batch(self, latents: Tensor, params: GenerationParams) -> int:
        """How many frames of a video are decoded in one forward pass."""
        limit = max_decoded(params, len(latents), self.device.type)
        return self._batch_size(lambda: self._decode_once(latents[:1]), limit)

    def _batch_size(self, trial: Callable[[], object], limit: int) -> int:
        return 1 if self.low_memory else batch_size(self.device, trial, limit)

    def _condition(self, scene: Scene) -> Conditioning:
        with self._visit("vae", "reference", "face_locator", "speech"):
            return condition(self.networks, scene)

    def _denoise(
        self, conditioning: Conditioning, noise: Tensor, params: GenerationParams, on_progress: OnProgress
    ) -> Tensor:
        """All windows and steps; one window at a time if memory runs out with several."""
        at_once = self.window_batch(conditioning, noise, params)
        task = self.networks.denoiser, conditioning, noise, params, on_progress
        try:
            return denoise(*task, window_batch=at_once)
        except RuntimeError as error:
            if at_once == 1 or not ran_out(error):
                raise
        release(self.device)
        return denoise(*task, window_batch=1)

    def _denoise_once(self, conditioning: Conditioning, noise: Tensor, params: GenerationParams) -> None:
        """One step in one forward pass."""
        once = replace(params, steps=1, context_overlap=0)
        denoise(self.networks.denoiser, conditioning, noise, once, _ignore, window_batch=len(noise))

    def _decode(
        self, latents: Tensor, params: GenerationParams, on_progress: OnProgress
    ) -> Iterator[np.ndarray]:
        on_progress(0.0)
        done = 0
        with self._visit("vae"):
            for block in self._decoded_blocks(latents, params):
                yield block
                done += len(block)
                on_progress(done / len(latents))

    def _decoded_blocks(self, latents: Tensor, params: GenerationParams) -> Iterator[np.ndarray]:
        """All frames; if memory runs out with several at once, the rest one by one."""
        at_once, done = self.frame_batch(latents, params), 0
        try:
            for block in decode_latents(self.networks.vae, latents, at_once):
                yield block
                done += len(block)
            return
        except RuntimeError as error:
            if at_once == 1 or not ran_out(error):
                raise
        release(self.device)
        yield from decode_latents(self.networks.vae, latents[done:], 1)

    def _decode_once(self, latents: Tensor) -> None:
        """All in one forward pass."""
        for _ in decode(self.networks.vae, latents, len(latents)):
            pass

    @contextmanager
    def _visit(self, *names: str) -> Iterator[None]:
        """Keep these networks on the device while the block runs."""
        if not self.low_memory:
            yield
            return
        with visiting(self.device, *(getattr(self.networks, name) for name in names)):
            yield
        release(self.device)


@torch.inference_mode()
def condition(networks: Networks, scene: Scene) -> Conditioning:
    """Everything that conditions the denoiser, computed once per task; `networks` are on one device."""
    latents = encode(networks.vae, scene.portrait.image)
    bank = networks.reference(latents.to(networks.reference.dtype))
    params = scene.params
    return Conditioning(
        reference=networks.denoiser.project(bank),
        face=_locate(networks.face_locator, scene.portrait.mask),
        audio=speech_tokens(networks.speech, scene.speech.samples, params.fps, params.length),
    )


def check(architecture: Architecture, params: GenerationParams, frame_count: int) -> None:
    """Refuse parameters that the networks cannot handle.

    Raises:
        ParameterError: the sides do not fit the latents, the window is longer than the position
            table, windows overlap entirely, or the video would have fewer frames than the minimum.
    """
    scale = architecture.latent_scale
    for field, side in (("width", params.width), ("height", params.height)):
        if side % scale:
            raise ParameterError("not_a_multiple", field=field, value=side, multiple=scale)
    if params.context_frames > architecture.max_frames:
        raise ParameterError(
            "context_frames_too_many",
            field="context_frames",
            value=params.context_frames,
            most=architecture.max_frames,
        )
    windows(frame_count, params.context_frames, params.context_overlap)
    if frame_count < (least := LIMITS.length.least):
        raise ParameterError("length_too_short", field="length", length=frame_count, least=least)


class _Shares:
    """Turns the share of a stage into the share of the whole job, and stops if the caller asks for it."""

    def __init__(self, params: GenerationParams, control: Control):
        visits = params.context_frames / (params.context_frames - params.context_overlap)
        halves = 2 if params.cfg > 1 else 1
        denoising = params.steps * visits * halves
        self._denoised = denoising / (denoising + DECODING)
        self._control = control

    def denoising(self, share: float) -> None:
        self._control.stop_if_asked()
        self._control.progress(share * self._denoised)

    def decoding(self, share: float) -> None:
        self._control.progress(self._denoised + share * (1 - self._denoised))
        if share < 1:
            self._control.stop_if_asked()


def _locate(face_locator: nn.Module, mask: np.ndarray) -> Tensor:
    weight = next(face_locator.parameters())
    shares = torch.from_numpy(mask).to(weight.device, weight.dtype) / 255.0
    located: Tensor = face_locator(shares[None, None])
    return located


def _ignore(_share: float) -> None:
    pass
