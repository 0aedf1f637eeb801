"""The UNet that both networks share: Stable Diffusion 1.5's, applied to each frame separately.

Attribute names are the key names of the published checkpoints. Knows nothing of diffusion steps,
windows or files.
"""

from collections.abc import Iterator

import torch
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from models.echomimic.networks.attention import BlockContext, SpatialTransformer, TransformerBlock
from models.echomimic.networks.config import Architecture
from models.echomimic.networks.motion import MotionModule

RESNET_NORM_EPS = 1e-5
TIME_WIDENING = 4  # channels of the embedded timestep, in multiples of the first stage's


class Stage(nn.Module):
    """One resolution: resnets, each followed by a spatial transformer and a motion module, if it has them.

    Args:
        widths: input channels of each resnet; all of them output `channels`.
        transformers: how many of the resnets are followed by a spatial transformer.
        motions: how many are followed by a motion module; 0 in a network without.
        cross_attention: whether the transformers attend to audio.
    """

    def __init__(
        self,
        architecture: Architecture,
        widths: list[int],
        channels: int,
        *,
        transformers: int,
        motions: int,
        cross_attention: bool,
    ):
        super().__init__()
        self.resnets = nn.ModuleList(_resnet(architecture, width, channels) for width in widths)
        self.attentions = nn.ModuleList(
            SpatialTransformer(architecture, channels, cross_attention=cross_attention)
            for _ in range(transformers)
        )
        self.motion_modules = nn.ModuleList(MotionModule(architecture, channels) for _ in range(motions))

    def layer(self, index: int, x: Tensor, context: BlockContext) -> Tensor:
        """The resnet at `index`, its spatial transformer and its motion module."""
        x = self.resnets[index](x, context.time)
        if index < len(self.attentions):
            x = self.attentions[index](x, context)
        if index < len(self.motion_modules):
            x = self.motion_modules[index](x, context.frames)
        return x


class Upsampler(nn.Module):
    """Nearest-neighbour upsampling to any size, then a convolution.

    Unlike diffusers' `Upsample2D` it does not depend on the number of frames, so that it is compiled once.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """[batch, channels, any height, any width] to `size`."""
        return self.conv(nn.functional.interpolate(x, size=size, mode="nearest"))


class DownStage(Stage):
    """A stage on the way down; every output is kept as a skip connection."""

    downsamplers: nn.ModuleList

    def forward(self, x: Tensor, context: BlockContext, skips: list[Tensor]) -> Tensor:
        """[batch, channels, height, width] to half the height and width, appending to `skips`."""
        for index in range(len(self.resnets)):
            x = self.layer(index, x, context)
            skips.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
            skips.append(x)
        return x


class MidStage(Stage):
    """The lowest resolution."""

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """[batch, channels, height, width] to the same shape."""
        for index in range(len(self.resnets)):
            x = self.layer(index, x, context)
        return x


class UpStage(Stage):
    """A stage on the way up; each layer takes a skip connection."""

    upsamplers: nn.ModuleList

    def forward(self, x: Tensor, context: BlockContext, skips: list[Tensor]) -> Tensor:
        """[batch, channels, height, width] to the size of the next skip, taking from `skips`."""
        for index in range(len(self.resnets)):
            x = self.layer(index, torch.cat([x, skips.pop()], dim=1), context)
        for upsampler in self.upsamplers:
            # Not "twice": an odd side was rounded up on the way down.
            x = upsampler(x, tuple(skips[-1].shape[-2:]))
        return x


class UNet(nn.Module):
    """Down, through the middle, and up again; the frames of all windows are the batch.

    Args:
        cross_attention: build the cross-attention to audio.
        motion: build the motion modules.
    """

    def __init__(self, architecture: Architecture, *, cross_attention: bool, motion: bool):
        super().__init__()
        first = architecture.channels[0]
        self.time_proj = Timesteps(first, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(first, TIME_WIDENING * first)
        self.conv_in = nn.Conv2d(architecture.latent_channels, first, kernel_size=3, padding=1)
        plan = _Plan(architecture, cross_attention=cross_attention, motion=motion)
        self.down_blocks = nn.ModuleList(plan.down(stage) for stage in range(plan.stages))
        self.mid_block = plan.mid()
        self.up_blocks = nn.ModuleList(plan.up(stage) for stage in reversed(range(plan.stages)))
        for layer, block in enumerate(self.transformer_blocks()):
            block.layer = layer

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its weights and activations."""
        return self.conv_in.weight.dtype

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.conv_in.weight.device

    def transformer_blocks(self) -> Iterator[TransformerBlock]:
        """The spatial transformer blocks, in the order in which the data passes them."""
        for part in (self.down_blocks, self.mid_block, self.up_blocks):
            yield from (module for module in part.modules() if isinstance(module, TransformerBlock))

    def embed_time(self, timestep: Tensor) -> Tensor:
        """[1] timestep to what the resnets add, [1, 4 × first channels]."""
        return self.time_embedding(self.time_proj(timestep).to(self.dtype))

    def body(self, x: Tensor, context: BlockContext) -> Tensor:
        """All stages, between `conv_in` and any output layer: [batch, first channels, height, width]."""
        skips = [x]
        for stage in self.down_blocks:
            x = stage(x, context, skips)
        x = self.mid_block(x, context)
        for stage in self.up_blocks:
            x = stage(x, context, skips)
        return x


class _Plan:
    """Counts channels while the stages are built: down to the lowest resolution and up again."""

    def __init__(self, architecture: Architecture, *, cross_attention: bool, motion: bool):
        self.architecture = architecture
        self.stages = len(architecture.channels)
        self.cross_attention, self.motion = cross_attention, motion
        self.width = architecture.channels[0]  # channels of the data at this point
        self.skips = [self.width]  # channels of the skip connections

    def down(self, stage: int) -> DownStage:
        layers, channels = self.architecture.layers, self.architecture.channels[stage]
        widths = [self.width] + [channels] * (layers - 1)
        built = DownStage(
            self.architecture,
            widths,
            channels,
            transformers=self._transformers(stage, layers),
            motions=layers if self.motion else 0,
            cross_attention=self.cross_attention,
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
            motions=int(self.motion),
            cross_attention=self.cross_attention,
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
            motions=layers if self.motion else 0,
            cross_attention=self.cross_attention,
        )
        doubles = [] if stage == 0 else [Upsampler(channels)]
        built.upsamplers = nn.ModuleList(doubles)
        self.width = channels
        return built

    def _transformers(self, stage: int, layers: int) -> int:
        """How many a stage has: the lowest resolution has none, except in the middle."""
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
