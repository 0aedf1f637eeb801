"""From noise to latents: DDIM steps, each over a ring of windows, with optional guidance.

Knows nothing of pictures, sound or files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from models.echomimic.networks.attention import KeyValue
from models.echomimic.networks.denoiser import DenoisingNet
from models.echomimic.speech_features import SpeechTokens
from models.echomimic.windows import FRAMES_PER_TURN, windows

NOISE_LIMIT = 1.5  # standard deviations; the published pipeline cuts its starting noise here

Tick = Callable[[float], None]


@dataclass(frozen=True)
class Sampling:
    """How to walk from noise to latents."""

    steps: int
    cfg: float  # guidance weight; 1 or less asks only the conditional half
    context_frames: int
    context_overlap: int
    window_batch: int = 1  # windows per forward pass


@dataclass(frozen=True)
class Conditioning:
    """What one task asks of the denoiser, fixed for all windows and steps.

    Attributes:
        reference: keys and values of the portrait, one per layer.
        face: [1, channels, height, width], where the face is.
        audio: what each frame hears.
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


def starting_noise(frames: int, height: int, width: int, seed: int, channels: int = 4) -> Tensor:
    """Noise for a whole video, float32 [frames, channels, height, width].

    Drawn on the CPU, so that a seed means the same on every device.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = torch.randn((channels, frames, height, width), generator=generator)
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


@torch.inference_mode()
def denoise(
    denoiser: DenoisingNet, conditioning: Conditioning, noise: Tensor, sampling: Sampling, tick: Tick
) -> Iterator[Step]:
    """Walk from noise to latents.

    Args:
        denoiser: in any dtype; latents and averages stay float32.
        conditioning: what the task asks.
        noise: float32 [frames, 4, height, width] on the denoiser's device.
        sampling: how to walk.
        tick: told the share done before every forward pass, 0 to 1; what it raises ends the walk.

    Yields:
        Each step as it is done; the last one holds the result.

    Raises:
        ParameterError: windows overlap entirely.
    """
    scheduler = schedule(sampling.steps)
    timesteps = scheduler.timesteps.tolist()
    ring = _Ring.around(noise, sampling)
    latents = noise
    for index, timestep in enumerate(timesteps):
        forward = _Forward(denoiser, conditioning, sampling.cfg, timestep, latents)
        velocity = ring.turned(FRAMES_PER_TURN * index).average(forward, _part(tick, index, len(timesteps)))
        (latents, *_) = scheduler.step(velocity, timestep, latents, return_dict=False)
        yield Step(velocity, latents)
    tick(1.0)


class _Forward:
    """One timestep's question to the denoiser, asked for any windows."""

    def __init__(
        self, denoiser: DenoisingNet, conditioning: Conditioning, cfg: float, timestep: int, latents: Tensor
    ):
        self.denoiser, self.conditioning, self.cfg = denoiser, conditioning, cfg
        self.timestep = torch.full((1,), timestep, device=latents.device)
        self.latents = latents

    def __call__(self, frames: Tensor) -> Tensor:
        """Velocity of these windows, [windows, frames] numbers to float32 [windows, frames, 4, h, w]."""
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
        alone, told = velocity.chunk(2)
        return alone + self.cfg * (told - alone)


@dataclass(frozen=True)
class _Ring:
    """The windows of one step. Everything is on the device already, so that no step waits for it.

    Attributes:
        batches: int64 [windows, frames] each: the windows of one forward pass.
        visits: float32 [frames, 1, 1, 1], how many windows a frame is in.
    """

    batches: tuple[Tensor, ...]
    visits: Tensor

    @classmethod
    def around(cls, noise: Tensor, sampling: Sampling) -> "_Ring":
        """The ring of the first step."""
        frames = torch.tensor(windows(len(noise), sampling.context_frames, sampling.context_overlap))
        visits = torch.bincount(frames.flatten(), minlength=len(noise)).to(noise)
        forwards = -(-len(frames) // sampling.window_batch)
        # As even as can be: a last batch of one window would cost nearly as much as a full one.
        return cls(frames.to(noise.device).tensor_split(forwards), visits[:, None, None, None])

    def turned(self, by: int) -> "_Ring":
        """The ring of a later step, so many frames further."""
        frames = len(self.visits)
        return _Ring(tuple((batch + by) % frames for batch in self.batches), self.visits.roll(by, 0))

    def average(self, forward: _Forward, tick: Tick) -> Tensor:
        """Mean over all windows a frame is in, [frames, 4, height, width]."""
        total = torch.zeros_like(forward.latents)
        for index, batch in enumerate(self.batches):
            tick(index / len(self.batches))
            # Window by window: the frames of one are distinct, so the sum has the same order on every device.
            for window, velocity in zip(batch, forward(batch), strict=True):
                total[window] += velocity
        return total / self.visits


def _part(tick: Tick, index: int, of: int) -> Tick:
    """The share of one step, as a share of the whole walk."""
    return lambda share: tick((index + share) / of)
