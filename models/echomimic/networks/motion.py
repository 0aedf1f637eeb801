"""Attention over time: each pixel attends to itself in the other frames of its window.

Knows nothing of space, portrait or audio. The layout is AnimateDiff's motion module (Guo et al. 2023).
"""

from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from torch import Tensor, nn

from models.echomimic.networks.attention import SPATIAL_NORM_EPS, Attention
from models.echomimic.networks.config import Architecture

ATTENTIONS = 2  # temporal self-attentions per module


class TemporalAttention(Attention):
    """Self-attention along the frames, with each frame's position in the window."""

    def __init__(self, architecture: Architecture, channels: int):
        super().__init__(channels, architecture.heads)
        self.pos_encoder = SinusoidalPositionalEmbedding(channels, architecture.max_frames)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # it attends to itself only
        """[pixels, frames, channels] to the same shape."""
        x = self.pos_encoder(x)
        return super().forward(x, self.keys_values(x))


class TemporalBlock(nn.Module):
    """Temporal self-attentions and a feed-forward, with residuals."""

    def __init__(self, architecture: Architecture, channels: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(ATTENTIONS))
        self.attention_blocks = nn.ModuleList(
            TemporalAttention(architecture, channels) for _ in range(ATTENTIONS)
        )
        self.ff_norm = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, activation_fn="geglu")

    def forward(self, x: Tensor) -> Tensor:
        """[pixels, frames, channels] to the same shape."""
        for norm, attention in zip(self.norms, self.attention_blocks, strict=True):
            x = x + attention(norm(x))
        return x + self.ff(self.ff_norm(x))


class MotionModule(nn.Module):
    """Animates the output of the spatial layers, each pixel along its own time line."""

    def __init__(self, architecture: Architecture, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(architecture.norm_groups, channels, eps=SPATIAL_NORM_EPS)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(architecture, channels)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[windows × frames, channels, height, width] to the same shape."""
        height, width = x.shape[-2:]
        tokens = self.norm(x).unflatten(0, (-1, frames))  # windows, frames, channels, height, width
        tokens = tokens.permute(0, 3, 4, 1, 2).flatten(0, 2)  # pixels of all windows, frames, channels
        tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens)
        moved = self.proj_out(tokens).unflatten(0, (-1, height, width))
        return x + moved.permute(0, 3, 4, 1, 2).flatten(0, 1)
