"""The mistakes one can make in rebuilding EchoMimic, each applied to our code.

Their names are those of `mutation_sensitivity.json`, which lists how far each moved the authors' own result.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from models.echomimic import sampler
from models.echomimic.networks import attention
from models.echomimic.networks.attention import BlockContext, TransformerBlock
from models.echomimic.networks.denoiser import DenoisingNet
from models.echomimic.networks.motion import MotionModule
from models.echomimic.networks.reference import ReferenceNet
from models.echomimic.networks.speech_encoder import SpeechEncoder
from models.echomimic.networks.unet import UNet
from models.echomimic.speech_features import SpeechTokens

Mistake = Callable[[pytest.MonkeyPatch], None]


def constant(module: Any, name: str, value: float) -> Mistake:
    return lambda patch: patch.setattr(module, name, value)


def schedule_with(**settings: Any) -> Mistake:
    """Another noise schedule."""

    def wrong(**published: Any) -> DDIMScheduler:
        return DDIMScheduler(**{**published, **settings})

    return lambda patch: patch.setattr(sampler, "DDIMScheduler", wrong)


def unconditional_half_hears(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: TransformerBlock, x: Tensor, audio: Tensor, guided: bool) -> Tensor:
        both = torch.cat([audio] * (2 if guided else 1))
        return x + attention.AUDIO_GAIN * self._attend_to(both, x)

    patch.setattr(TransformerBlock, "_cross_attention", wrong)


def unconditional_half_looks(patch: pytest.MonkeyPatch) -> None:
    attend = TransformerBlock._self_attention

    def wrong(self: TransformerBlock, x: Tensor, context: BlockContext) -> Tensor:
        return attend(self, x, replace(context, guided=False))

    patch.setattr(TransformerBlock, "_self_attention", wrong)


def unconditional_half_has_a_face(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: DenoisingNet, x: Tensor, face: Tensor, guided: bool) -> Tensor:
        cond = x + face
        return torch.cat([cond, cond]) if guided else cond

    patch.setattr(DenoisingNet, "_add_face", wrong)


def swap_face_halves(patch: pytest.MonkeyPatch) -> None:
    add_face = DenoisingNet._add_face

    def wrong(self: DenoisingNet, x: Tensor, face: Tensor, guided: bool) -> Tensor:
        both = add_face(self, x, face, guided)
        return torch.cat(both.chunk(2)[::-1]) if guided else both

    patch.setattr(DenoisingNet, "_add_face", wrong)


def noisy_reference(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReferenceNet, "embed_time", lambda self, timestep: UNet.embed_time(self, timestep + 999))


def sum_of_windows(patch: pytest.MonkeyPatch) -> None:
    average = sampler._Ring.average

    def wrong(self: sampler._Ring, *others: Any) -> Tensor:
        return average(self, *others) * self.visits

    patch.setattr(sampler._Ring, "average", wrong)


def sampled_portrait(patch: pytest.MonkeyPatch) -> None:
    built = DiagonalGaussianDistribution.__init__

    def wrong(self: DiagonalGaussianDistribution, *given: Any, **options: Any) -> None:
        built(self, *given, **options)
        self.mean = self.sample()

    patch.setattr(DiagonalGaussianDistribution, "__init__", wrong)


def unrounded_bank(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: DenoisingNet, bank: tuple[Tensor, ...]) -> tuple[attention.KeyValue, ...]:
        pairs = zip(self.transformer_blocks(), bank, strict=True)
        return tuple(block.attn1.keys_values(states) for block, states in pairs)

    patch.setattr(DenoisingNet, "project", wrong)


def land_on_the_next_timestep(patch: pytest.MonkeyPatch) -> None:
    def wrong(
        self: DDIMScheduler, velocity: Tensor, timestep: int, sample: Tensor, **_: Any
    ) -> tuple[Tensor]:
        later = [t for t in self.timesteps.tolist() if t < timestep]
        alpha = self.alphas_cumprod[timestep]
        after = self.alphas_cumprod[later[0]] if later else torch.tensor(1.0)
        clean = alpha.sqrt() * sample - (1 - alpha).sqrt() * velocity
        noise = alpha.sqrt() * velocity + (1 - alpha).sqrt() * sample
        return (after.sqrt() * clean + (1 - after).sqrt() * noise,)

    patch.setattr(DDIMScheduler, "step", wrong)


def timeless_motion(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SinusoidalPositionalEmbedding, "forward", lambda self, x: x)


def no_motion(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MotionModule, "forward", lambda self, x, frames: x)


def late_audio(patch: pytest.MonkeyPatch) -> None:
    of = SpeechTokens.of
    patch.setattr(SpeechTokens, "of", lambda self, frames: of(self, (frames + 1).clamp(max=len(self) - 1)))


def reversed_states(patch: pytest.MonkeyPatch) -> None:
    states = SpeechEncoder.states
    patch.setattr(SpeechEncoder, "states", lambda self, mel: states(self, mel).flip(1))


MISTAKES: dict[str, Mistake] = {
    "no clamp of initial latents": constant(sampler, "NOISE_LIMIT", float("inf")),
    "no window shift": constant(sampler, "FRAMES_PER_TURN", 0),
    "shift 3 instead of 2": constant(sampler, "FRAMES_PER_TURN", 3),
    "audio not zeroed in uncond half": unconditional_half_hears,
    "face features not zeroed in uncond half": unconditional_half_has_a_face,
    "uncond half also attends to the bank": unconditional_half_looks,
    "face halves swapped": swap_face_halves,
    "reference net at t=999 instead of 0": noisy_reference,
    "no division by counter": sum_of_windows,
    "VAE posterior sampled instead of mean": sampled_portrait,
    "bank kept in float32 (no fp16 rounding)": unrounded_bank,
    "audio ratio 1 instead of 3": constant(attention, "AUDIO_GAIN", 1.0),
    "leading timesteps": schedule_with(timestep_spacing="leading"),
    "no zero-SNR rescale": schedule_with(rescale_betas_zero_snr=False),
    "scaled_linear betas": schedule_with(beta_schedule="scaled_linear"),
    "epsilon prediction": schedule_with(prediction_type="epsilon"),
    "prev timestep = next in list / final alpha 1 at the end": land_on_the_next_timestep,
    "no temporal positional encoding": timeless_motion,
    "motion modules inert": no_motion,
    "audio off by one video frame": late_audio,
    "whisper layers in reverse order": reversed_states,
}
