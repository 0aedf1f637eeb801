"""From noise to latents: DDIM steps, each over a ring of windows, with optional guidance.

Knows nothing of pictures, sound or files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from models.echomimic.networks.attention import KeyValue
from models.echomimic.networks.config import Architecture, exact_div
from models.echomimic.networks.denoiser import DenoisingNet
from models.echomimic.speech_features import SpeechTokens
from models.echomimic.windows import FRAMES_PER_TURN, windows
from models.params import GenerationParams

NOISE_LIMIT = 1.5  # standard deviations; the published pipeline cuts its starting noise here

OnProgress = Callable[[float], None]


@dataclass(frozen=True)
class Conditioning:
    """What conditions the denoiser, fixed for all windows and steps of a task.

    Attributes:
        reference: keys and values of the portrait, one per layer.
        face: [1, channels, height, width], where the face is.
        audio: the tokens of each frame.
    """

    reference: tuple[KeyValue, ...]
    face: Tensor
    audio: SpeechTokens


@dataclass(frozen=True)
class Step:
    """One denoising step that has been done.

    Attributes:
        model_output: float32 [frames, 4, height, width], the velocity after averaging and guidance.
        latents: float32, same shape, one step cleaner.
    """

    model_output: Tensor
    latents: Tensor


def prepare_latents(architecture: Architecture, params: GenerationParams, frames: int) -> Tensor:
    """Noise for a whole video, float32 [frames, 4, height / 8, width / 8].

    Drawn on the CPU, so that a seed means the same on every device.
    """
    generator = torch.Generator("cpu").manual_seed(params.seed)
    height, width = (exact_div(side, architecture.latent_scale) for side in (params.height, params.width))
    noise = torch.randn((architecture.latent_channels, frames, height, width), generator=generator)
    return noise.clamp(-NOISE_LIMIT, NOISE_LIMIT).transpose(0, 1).contiguous()


def schedule(steps: int) -> DDIMScheduler:
    """DDIM (Song et al. 2020) as EchoMimic was trained: linear betas, zero terminal SNR, velocity.

    Two published habits come with diffusers' class: timesteps trail (the first is 999), and each
    step lands 1000 // steps lower, which is not always where the next one starts.
    """
    scheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(steps)
    return scheduler


def denoise(
    denoiser: DenoisingNet,
    conditioning: Conditioning,
    noise: Tensor,
    params: GenerationParams,
    on_progress: OnProgress,
    *,
    window_batch: int,
) -> Tensor:
    """Walk all the way from noise to the latents of the whole video; see `denoising_steps`."""
    latents = noise
    for step in denoising_steps(
        denoiser, conditioning, noise, params, on_progress, window_batch=window_batch
    ):
        latents = step.latents
    return latents


@torch.inference_mode()
def denoising_steps(
    denoiser: DenoisingNet,
    conditioning: Conditioning,
    noise: Tensor,
    params: GenerationParams,
    on_progress: OnProgress,
    *,
    window_batch: int,
) -> Iterator[Step]:
    """Walk from noise to latents, step by step.

    Args:
        denoiser: in any dtype; latents and averages stay float32.
        conditioning: from the same networks.
        noise: float32 [frames, 4, height, width]; its length is the video's.
        params: steps, windows and guidance; with a `cfg` of 1 or less only the conditional half is asked.
        on_progress: called before every forward pass with the share done, 0 to 1; what it raises ends the
            walk.
        window_batch: windows per forward pass.

    Yields:
        Each step as it is done, on the denoiser's device; the last one holds the result.

    Raises:
        ParameterError: windows overlap entirely.
        ValueError: `conditioning` has tokens for fewer frames than `noise`.
    """
    if len(noise) > len(conditioning.audio):
        raise ValueError(
            f"the noise is for {len(noise)} frames, but there are audio tokens for {len(conditioning.audio)}"
        )
    scheduler = schedule(params.steps)
    timesteps = scheduler.timesteps.tolist()
    latents = noise.to(denoiser.device)
    ring = _Ring.around(latents, params, window_batch)
    for index, timestep in enumerate(timesteps):
        forward = _Forward(denoiser, conditioning, params.cfg, timestep, latents)
        tell = _part(on_progress, index, len(timesteps))
        velocity = ring.turned(FRAMES_PER_TURN * index).average(forward, tell)
        (latents, *_) = scheduler.step(velocity, timestep, latents, return_dict=False)
        yield Step(velocity, latents)
    on_progress(1.0)


class _Forward:
    """Forward passes of the denoiser at one timestep, for any windows."""

    def __init__(
        self, denoiser: DenoisingNet, conditioning: Conditioning, cfg: float, timestep: int, latents: Tensor
    ):
        self.denoiser, self.conditioning, self.cfg = denoiser, conditioning, cfg
        self.timestep = torch.full((1,), timestep, device=latents.device)
        self.latents = latents

    def __call__(self, frames: Tensor) -> Tensor:
        """[windows, frames] frame numbers to their velocity, float32 [windows, frames, 4, h, w]."""
        sample = self.latents[frames].to(self.denoiser.dtype)
        velocity: Tensor = self.denoiser(
            sample,
            self.timestep,
            audio=self.conditioning.audio.of(frames).to(sample.dtype),
            face=self.conditioning.face,
            reference=self.conditioning.reference,
            guided=self.cfg > 1.0,
        ).float()
        if self.cfg <= 1.0:
            return velocity
        uncond, cond = velocity.chunk(2)
        return uncond + self.cfg * (cond - uncond)


@dataclass(frozen=True)
class _Ring:
    """The windows of one step, already on the device, so that no step waits for a transfer.

    Attributes:
        batches: int64 [windows, frames] each: the windows of one forward pass.
        visits: float32 [frames, 1, 1, 1], how many windows a frame is in.
    """

    batches: tuple[Tensor, ...]
    visits: Tensor

    @classmethod
    def around(cls, noise: Tensor, params: GenerationParams, window_batch: int) -> "_Ring":
        """The ring of the first step."""
        frames = torch.tensor(windows(len(noise), params.context_frames, params.context_overlap))
        visits = torch.bincount(frames.flatten(), minlength=len(noise)).to(noise)
        forwards = -(-len(frames) // window_batch)
        # As evenly as possible: a last batch of one window would cost nearly as much as a full one.
        return cls(frames.to(noise.device).tensor_split(forwards), visits[:, None, None, None])

    def turned(self, by: int) -> "_Ring":
        """The ring of a later step, moved on by so many frames."""
        frames = len(self.visits)
        return _Ring(tuple((batch + by) % frames for batch in self.batches), self.visits.roll(by, 0))

    def average(self, forward: _Forward, on_progress: OnProgress) -> Tensor:
        """Mean over all windows a frame is in, [frames, 4, height, width]."""
        total = torch.zeros_like(forward.latents)
        for index, batch in enumerate(self.batches):
            on_progress(index / len(self.batches))
            # Window by window: the frames of one are distinct, so the sum has the same order on every device.
            for window, velocity in zip(batch, forward(batch), strict=True):
                total[window] += velocity
        return total / self.visits


def _part(on_progress: OnProgress, index: int, of: int) -> OnProgress:
    """Report the share of one step as a share of all steps."""
    return lambda share: on_progress((index + share) / of)
