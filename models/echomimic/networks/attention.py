"""Attention over space: within a frame, to the reference portrait, and to the audio.

Knows nothing of time (that is `motion.py`) and nothing of where the reference comes from.
"""

from dataclasses import dataclass

import torch
from diffusers.models.attention import FeedForward
from torch import Tensor, nn

from models.echomimic.networks.config import AUDIO_CHANNELS, Architecture

AUDIO_GAIN = 3.0  # the published code adds audio attention to the residual stream three times as strong
SPATIAL_NORM_EPS = 1e-6  # Stable Diffusion's transformers; its resnets use 1e-5


@dataclass(frozen=True)
class KeyValue:
    """Keys and values of one attention layer, [batch, tokens, channels] each.

    They are not split into heads yet: joining whole rows is cheaper.
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
        """The first and the second half of the batch."""
        (first_key, second_key), (first_value, second_value) = self.key.chunk(2), self.value.chunk(2)
        return KeyValue(first_key, first_value), KeyValue(second_key, second_value)


@dataclass(frozen=True)
class BlockContext:
    """What every block of a UNet gets besides its input; frames are folded into the batch.

    Attributes:
        time: [1, 4 × first channels], the embedded timestep.
        frames: how many consecutive batch items form one window of time.
        audio: [batch, tokens, 384], with guidance only for the conditional half; None in a network without
            cross-attention.
        reference: one `KeyValue` per spatial self-attention, in the order in which the data passes them; None
            without a portrait to attend to.
        guided: the first half of the batch is unconditional: it attends to silence and to no portrait.
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
        """The output for all-zero context tokens: without a bias their values are zero too."""
        return self.to_out[0].get_parameter("bias")

    def keys_values(self, context: Tensor) -> KeyValue:
        """Project [batch, tokens, context channels]."""
        return KeyValue(self.to_k(context), self.to_v(context))

    def forward(self, x: Tensor, *attended: KeyValue) -> Tensor:
        """Let each token of [batch, tokens, channels] attend to `attended`; same shape.

        If there are several `attended`, the batch is split into that many equal parts, one for each.

        Raises:
            ValueError: `attended` has a different batch size, which would be broadcast.
        """
        queries = self.to_q(x).chunk(len(attended))
        outputs = [self._attend(query, part) for query, part in zip(queries, attended, strict=True)]
        return self.to_out(torch.cat(outputs) if len(outputs) > 1 else outputs[0])

    def _attend(self, query: Tensor, attended: KeyValue) -> Tensor:
        if query.shape[0] != attended.key.shape[0]:
            raise ValueError(
                f"the queries have a batch size of {query.shape[0]}, the keys one of {attended.key.shape[0]}"
            )
        query, key, value = map(self._heads, (query, attended.key, attended.value))
        output = nn.functional.scaled_dot_product_attention(query, key, value)
        return output.transpose(1, 2).flatten(2)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Self-attention that includes the reference, cross-attention to audio, feed-forward; all with residuals.

    Args:
        cross_attention: False in the reference net, which has no audio.
    """

    def __init__(self, architecture: Architecture, channels: int, *, cross_attention: bool):
        super().__init__()
        self.layer = 0  # position among the net's spatial self-attentions, set by the net
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, architecture.heads)
        if cross_attention:
            self.norm2 = nn.LayerNorm(channels)
            self.attn2 = Attention(channels, architecture.heads, context_channels=AUDIO_CHANNELS)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, activation_fn="geglu")

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """[batch, tokens, channels] to the same shape."""
        x = x + self._self_attention(self.norm1(x), context)
        if context.audio is not None:
            x = self._cross_attention(x, context.audio, context.guided)
        return x + self.ff(self.norm3(x))

    def _self_attention(self, x: Tensor, context: BlockContext) -> Tensor:
        own = self.attn1.keys_values(x)
        if context.reference is None:
            return self.attn1(x, own)
        portrait = context.reference[self.layer]
        if not context.guided:
            return self.attn1(x, own.followed_by(portrait))
        uncond, cond = own.halves()
        return self.attn1(x, uncond, cond.followed_by(portrait))

    def _cross_attention(self, x: Tensor, audio: Tensor, guided: bool) -> Tensor:
        if not guided:
            return x + AUDIO_GAIN * self._attend_to(audio, x)
        uncond, cond = x.chunk(2)
        silence = self.attn2.silence
        return torch.cat([uncond + AUDIO_GAIN * silence, cond + AUDIO_GAIN * self._attend_to(audio, cond)])

    def _attend_to(self, audio: Tensor, x: Tensor) -> Tensor:
        return self.attn2(self.norm2(x), self.attn2.keys_values(audio))


class SpatialTransformer(nn.Module):
    """A transformer over the pixels of each frame, between two 1 × 1 convolutions."""

    def __init__(self, architecture: Architecture, channels: int, *, cross_attention: bool):
        super().__init__()
        self.norm = nn.GroupNorm(architecture.norm_groups, channels, eps=SPATIAL_NORM_EPS)
        self.proj_in = nn.Conv2d(channels, channels, kernel_size=1)
        self.transformer_blocks = nn.ModuleList(
            [TransformerBlock(architecture, channels, cross_attention=cross_attention)]
        )
        self.proj_out = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """[batch, channels, height, width] to the same shape."""
        size = x.shape[-2:]
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, size))
