"""The UNet both networks share: Stable Diffusion 1.5's shape, applied to each frame on its own.

Attribute names are the key names of the published checkpoints. Knows nothing of diffusion steps,
windows or files.
"""

from collections.abc import Iterator

import torch
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from models.echomimic.networks.attention import Conditions, SpatialTransformer, TransformerBlock
from models.echomimic.networks.config import Architecture
from models.echomimic.networks.motion import MotionModule

RESNET_NORM_EPS = 1e-5
TIME_WIDENING = 4  # channels of the embedded timestep, in multiples of the first stage's


class Stage(nn.Module):
    """One resolution: resnets, each followed by a spatial transformer and a motion module if there is one.

    Args:
        widths: input channels of each resnet; all of them give `channels`.
        transformers: how many of the resnets have a spatial transformer behind them.
        motions: how many have a motion module behind them; None in a net without.
        hears: whether the transformers attend to audio.
    """

    def __init__(
        self,
        architecture: Architecture,
        widths: list[int],
        channels: int,
        *,
        transformers: int,
        motions: int,
        hears: bool,
    ):
        super().__init__()
        self.resnets = nn.ModuleList(_resnet(architecture, width, channels) for width in widths)
        self.attentions = nn.ModuleList(
            SpatialTransformer(architecture, channels, hears=hears) for _ in range(transformers)
        )
        self.motion_modules = nn.ModuleList(MotionModule(architecture, channels) for _ in range(motions))

    def layer(self, index: int, x: Tensor, conditions: Conditions) -> Tensor:
        """The resnet at `index` and what stands behind it."""
        x = self.resnets[index](x, conditions.time)
        if index < len(self.attentions):
            x = self.attentions[index](x, conditions)
        if index < len(self.motion_modules):
            x = self.motion_modules[index](x, conditions.frames)
        return x


class Upsampler(nn.Module):
    """Nearest neighbours to any size, and a convolution.

    Unlike diffusers' `Upsample2D` it does the same with any number of frames, so that it is compiled once.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """[batch, channels, any height, any width] to `size`."""
        return self.conv(nn.functional.interpolate(x, size=size, mode="nearest"))


class DownStage(Stage):
    """A stage on the way down: every output is kept for the way up."""

    downsamplers: nn.ModuleList

    def forward(self, x: Tensor, conditions: Conditions, skips: list[Tensor]) -> Tensor:
        """[batch, channels, height, width] to half the side, appending to `skips`."""
        for index in range(len(self.resnets)):
            x = self.layer(index, x, conditions)
            skips.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
            skips.append(x)
        return x


class MidStage(Stage):
    """The lowest resolution."""

    def forward(self, x: Tensor, conditions: Conditions) -> Tensor:
        """[batch, channels, height, width] to the same shape."""
        for index in range(len(self.resnets)):
            x = self.layer(index, x, conditions)
        return x


class UpStage(Stage):
    """A stage on the way up: each layer takes back what the way down kept."""

    upsamplers: nn.ModuleList

    def forward(self, x: Tensor, conditions: Conditions, skips: list[Tensor]) -> Tensor:
        """[batch, channels, height, width] to the side of the next skip, taking from `skips`."""
        for index in range(len(self.resnets)):
            x = self.layer(index, torch.cat([x, skips.pop()], dim=1), conditions)
        for upsampler in self.upsamplers:
            # Not "twice": an odd side was rounded up on the way down.
            x = upsampler(x, tuple(skips[-1].shape[-2:]))
        return x


class UNet(nn.Module):
    """Down, through the middle, and up again; the frames of all windows are the batch.

    Args:
        hears: build the audio attention.
        moves: build the motion modules.
    """

    def __init__(self, architecture: Architecture, *, hears: bool, moves: bool):
        super().__init__()
        first = architecture.channels[0]
        self.time_proj = Timesteps(first, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(first, TIME_WIDENING * first)
        self.conv_in = nn.Conv2d(architecture.latent_channels, first, kernel_size=3, padding=1)
        plan = _Plan(architecture, hears=hears, moves=moves)
        self.down_blocks = nn.ModuleList(plan.down(stage) for stage in range(plan.stages))
        self.mid_block = plan.mid()
        self.up_blocks = nn.ModuleList(plan.up(stage) for stage in reversed(range(plan.stages)))
        for layer, block in enumerate(self.transformer_blocks()):
            block.layer = layer

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.conv_in.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.conv_in.weight.device

    def transformer_blocks(self) -> Iterator[TransformerBlock]:
        """The spatial transformer blocks in the order the data meets them."""
        for part in (self.down_blocks, self.mid_block, self.up_blocks):
            yield from (module for module in part.modules() if isinstance(module, TransformerBlock))

    def embed_time(self, timestep: Tensor) -> Tensor:
        """[1] timestep to what the resnets add, [1, 4 × first channels]."""
        return self.time_embedding(self.time_proj(timestep).to(self.dtype))

    def body(self, x: Tensor, conditions: Conditions) -> Tensor:
        """From behind `conv_in` to before any output layer: [batch, first channels, height, width]."""
        skips = [x]
        for stage in self.down_blocks:
            x = stage(x, conditions, skips)
        x = self.mid_block(x, conditions)
        for stage in self.up_blocks:
            x = stage(x, conditions, skips)
        return x


class _Plan:
    """Counts channels while the stages are built from top to bottom to top."""

    def __init__(self, architecture: Architecture, *, hears: bool, moves: bool):
        self.architecture = architecture
        self.stages = len(architecture.channels)
        self.hears, self.moves = hears, moves
        self.width = architecture.channels[0]  # of the data at this point
        self.skips = [self.width]  # of what the way up will take back

    def down(self, stage: int) -> DownStage:
        layers, channels = self.architecture.layers, self.architecture.channels[stage]
        widths = [self.width] + [channels] * (layers - 1)
        built = DownStage(
            self.architecture,
            widths,
            channels,
            transformers=self._transformers(stage, layers),
            motions=layers if self.moves else 0,
            hears=self.hears,
        )
        halves = [] if self._lowest(stage) else [Downsample2D(channels, use_conv=True, name="op")]
        built.downsamplers = nn.ModuleList(halves)
        self.skips += [channels] * (layers + len(halves))
        self.width = channels
        return built

    def mid(self) -> MidStage:
        return MidStage(
            self.architecture,
            [self.width] * 2,
            self.width,
            transformers=1,
            motions=int(self.moves),
            hears=self.hears,
        )

    def up(self, stage: int) -> UpStage:
        layers, channels = self.architecture.layers + 1, self.architecture.channels[stage]
        inputs = [self.width] + [channels] * (layers - 1)
        widths = [width + self.skips.pop() for width in inputs]
        built = UpStage(
            self.architecture,
            widths,
            channels,
            transformers=self._transformers(stage, layers),
            motions=layers if self.moves else 0,
            hears=self.hears,
        )
        doubles = [] if stage == 0 else [Upsampler(channels)]
        built.upsamplers = nn.ModuleList(doubles)
        self.width = channels
        return built

    def _transformers(self, stage: int, layers: int) -> int:
        """The lowest resolution has none outside the middle."""
        return 0 if self._lowest(stage) else layers

    def _lowest(self, stage: int) -> bool:
        return stage == self.stages - 1


def _resnet(architecture: Architecture, channels_in: int, channels_out: int) -> ResnetBlock2D:
    return ResnetBlock2D(
        in_channels=channels_in,
        out_channels=channels_out,
        temb_channels=TIME_WIDENING * architecture.channels[0],
        groups=architecture.norm_groups,
        eps=RESNET_NORM_EPS,
        non_linearity="silu",
    )
