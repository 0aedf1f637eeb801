"""Attention over space: within a frame, to the reference portrait, and to what is heard.

Knows nothing of time (that is `motion.py`) and nothing of where the reference comes from.
"""

from dataclasses import dataclass

import torch
from diffusers.models.attention import FeedForward
from torch import Tensor, nn

from models.echomimic.config import AUDIO_CHANNELS, Architecture

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


@dataclass(frozen=True)
class Conditions:
    """What every block of a UNet is told besides its input; frames are folded into the batch.

    Attributes:
        time: [1, 4 × first channels], the embedded timestep.
        frames: how many consecutive batch items form one window of time.
        audio: [batch, tokens, 384]; None is silence (all zeros), as in the unconditional half.
        reference: one `KeyValue` per spatial self-attention, in the order the data meets them; None
            where there is no portrait to look at.
    """

    time: Tensor
    frames: int = 1
    audio: Tensor | None = None
    reference: tuple[KeyValue, ...] | None = None


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

    def forward(self, x: Tensor, attended: KeyValue) -> Tensor:
        """Let each token of [batch, tokens, channels] look at `attended`; same shape."""
        query, key, value = map(self._heads, (self.to_q(x), attended.key, attended.value))
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.to_out(seen.transpose(1, 2).flatten(2))

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
        self.hears = hears
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, activation_fn="geglu")

    def forward(self, x: Tensor, conditions: Conditions) -> Tensor:
        """[batch, tokens, channels] to the same shape."""
        x = x + self._look(self.norm1(x), conditions.reference)
        if self.hears:
            x = x + AUDIO_GAIN * self._listen(x, conditions.audio)
        return x + self.ff(self.norm3(x))

    def _look(self, x: Tensor, reference: tuple[KeyValue, ...] | None) -> Tensor:
        seen = self.attn1.keys_values(x)
        if reference is not None:
            seen = seen.followed_by(reference[self.layer])
        return self.attn1(x, seen)

    def _listen(self, x: Tensor, audio: Tensor | None) -> Tensor:
        if audio is None:
            return self.attn2.silence
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
