"""Attention over space: within a frame, to the reference portrait, and to what is heard.

Knows nothing of time (that is `motion.py`) and nothing of where the reference comes from.
"""

from dataclasses import dataclass

import torch
from diffusers.models.attention import FeedForward
from torch import Tensor, nn

from models.echomimic.networks.config import AUDIO_CHANNELS, Architecture

AUDIO_GAIN = 3.0  # the audio attention enters the residual stream three times as loud as it was trained
SPATIAL_NORM_EPS = 1e-6  # Stable Diffusion's transformers; its resnets use 1e-5


@dataclass(frozen=True)
class KeyValue:
    """Keys and values of one attention layer, [batch, tokens, channels] each.

    The heads are not yet apart: tokens are then whole rows, which are cheaper to join.
    """

    key: Tensor
    value: Tensor

    def followed_by(self, other: "KeyValue") -> "KeyValue":
        """Both sets of tokens; a single-item `other` is shared by the whole batch."""
        batch = self.key.shape[0]
        return KeyValue(
            torch.cat([self.key, other.key.expand(batch, -1, -1)], dim=1),
            torch.cat([self.value, other.value.expand(batch, -1, -1)], dim=1),
        )

    def halves(self) -> "tuple[KeyValue, KeyValue]":
        """Of the batch."""
        (first_key, second_key), (first_value, second_value) = self.key.chunk(2), self.value.chunk(2)
        return KeyValue(first_key, first_value), KeyValue(second_key, second_value)


@dataclass(frozen=True)
class Conditions:
    """What every block of a UNet is told besides its input; frames are folded into the batch.

    Attributes:
        time: [1, 4 × first channels], the embedded timestep.
        frames: how many consecutive batch items form one window of time.
        audio: [batch, tokens, 384], of the conditional half alone where there are two; None in a net
            that does not hear.
        reference: one `KeyValue` per spatial self-attention, in the order the data meets them; None
            where there is no portrait to look at.
        guided: the first half of the batch is unconditional: it sees no portrait and hears silence.
    """

    time: Tensor
    frames: int = 1
    audio: Tensor | None = None
    reference: tuple[KeyValue, ...] | None = None
    guided: bool = False


class Attention(nn.Module):
    """Multi-head scaled-dot-product attention (Vaswani et al. 2017, eq. 1) on fused kernels."""

    def __init__(self, channels: int, heads: int, context_channels: int | None = None):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels or channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels or channels, channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    @property
    def silence(self) -> Tensor:
        """What attending to all-zero tokens gives: without a bias their values are zero too."""
        return self.to_out[0].get_parameter("bias")

    def keys_values(self, context: Tensor) -> KeyValue:
        """Project [batch, tokens, context channels]."""
        return KeyValue(self.to_k(context), self.to_v(context))

    def forward(self, x: Tensor, *attended: KeyValue) -> Tensor:
        """Let each token of [batch, tokens, channels] look at `attended`; same shape.

        Several `attended` are for as many equal parts of the batch.
        """
        queries = self.to_q(x).chunk(len(attended))
        seen = [self._weigh(query, part) for query, part in zip(queries, attended, strict=True)]
        return self.to_out(torch.cat(seen) if len(seen) > 1 else seen[0])

    def _weigh(self, query: Tensor, attended: KeyValue) -> Tensor:
        query, key, value = map(self._heads, (query, attended.key, attended.value))
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        return seen.transpose(1, 2).flatten(2)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Self-attention that also sees the reference, audio attention, feed-forward; residuals around each.

    Args:
        hears: False in the reference net, which has no audio attention.
    """

    def __init__(self, architecture: Architecture, channels: int, *, hears: bool):
        super().__init__()
        self.layer = 0  # position among the net's spatial self-attentions, set by the net
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, architecture.heads)
        if hears:
            self.norm2 = nn.LayerNorm(channels)
            self.attn2 = Attention(channels, architecture.heads, context_channels=AUDIO_CHANNELS)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, activation_fn="geglu")

    def forward(self, x: Tensor, conditions: Conditions) -> Tensor:
        """[batch, tokens, channels] to the same shape."""
        x = x + self._look(self.norm1(x), conditions)
        if conditions.audio is not None:
            x = self._listen(x, conditions.audio, conditions.guided)
        return x + self.ff(self.norm3(x))

    def _look(self, x: Tensor, conditions: Conditions) -> Tensor:
        seen = self.attn1.keys_values(x)
        if conditions.reference is None:
            return self.attn1(x, seen)
        portrait = conditions.reference[self.layer]
        if not conditions.guided:
            return self.attn1(x, seen.followed_by(portrait))
        alone, told = seen.halves()
        return self.attn1(x, alone, told.followed_by(portrait))

    def _listen(self, x: Tensor, audio: Tensor, guided: bool) -> Tensor:
        if not guided:
            return x + AUDIO_GAIN * self._heard(x, audio)
        alone, told = x.chunk(2)
        silence = self.attn2.silence
        return torch.cat([alone + AUDIO_GAIN * silence, told + AUDIO_GAIN * self._heard(told, audio)])

    def _heard(self, x: Tensor, audio: Tensor) -> Tensor:
        return self.attn2(self.norm2(x), self.attn2.keys_values(audio))


class SpatialTransformer(nn.Module):
    """A transformer over the pixels of each frame, between two 1 × 1 convolutions."""

    def __init__(self, architecture: Architecture, channels: int, *, hears: bool):
        super().__init__()
        self.norm = nn.GroupNorm(architecture.norm_groups, channels, eps=SPATIAL_NORM_EPS)
        self.proj_in = nn.Conv2d(channels, channels, kernel_size=1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(architecture, channels, hears=hears)])
        self.proj_out = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor, conditions: Conditions) -> Tensor:
        """[batch, channels, height, width] to the same shape."""
        size = x.shape[-2:]
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, conditions)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, size))
