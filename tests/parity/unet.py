"""Goldens of one forward pass: reference net, face locator and denoiser, with and without guidance."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmarks.rules import Rules
from models.echomimic.networks.attention import KeyValue
from models.echomimic.networks.build import face_locator
from models.echomimic.networks.config import TINY, Architecture
from models.echomimic.networks.reference import Bank, ReferenceNet
from tests.parity.bench import Arrays, Bench, Facts
from tests.parity.rows import AnyRow, compare, compare_statistics

PREDICTION = 5e-5
HIDDEN = (
    6e-4  # inside, where values reach 18 and the authors differ from themselves by 3e-4 (one thread or two)
)
NORMED = 5e-5
SHARED = {"conv_in", "time_embedding"}  # computed once for both halves of guidance
PARTS = {"resnet": "resnets", "attn": "attentions", "motion": "motion_modules"}


@torch.inference_mode()
def rows(bench: Bench, stem: str) -> Iterator[AnyRow]:
    """Compare `unet_case*`: every array and every statistic of an intermediate result."""
    arrays, facts = bench.arrays(stem), bench.facts(stem)
    networks = bench.tiny
    face = _face(bench, arrays)
    yield compare(f"{stem} face_feat", _video(face), arrays["face_feat"], NORMED)

    with _tapped(networks.reference, ["up_blocks.3"]) as seen:
        bank = networks.reference(torch.from_numpy(arrays["ref_latents"]))
    yield compare(f"{stem} reference output", seen["up_blocks.3"], arrays["ref_unet_output_unused"], HIDDEN)
    places = _places(networks.reference)
    for number, pair in enumerate(facts["bank_order"]):
        name = f"bank_{number:02d}"
        yield compare(f"{stem} {name}", bank[places[pair["writer"]]], arrays[name], NORMED)

    ask = _Question(bench, arrays, facts["case"], face)
    reference = networks.denoiser.project(bank)
    with _tapped(networks.denoiser, _inside(arrays, facts)) as off:
        yield compare(f"{stem} pred_cfgoff", ask(reference), arrays["pred_cfgoff"], PREDICTION)
    with _tapped(networks.denoiser, _inside(arrays, facts)) as on:
        yield compare(f"{stem} pred_cfgon", ask(reference, guided=True), arrays["pred_cfgon"], PREDICTION)

    exact = _unrounded(bench, bank)
    for guided, name in ((False, "pred_cfgoff_diag_bank_float32"), (True, "pred_cfgon_diag_bank_float32")):
        yield compare(f"{stem} {name}", ask(exact, guided=guided), arrays[name], PREDICTION)
    yield from _intermediates(stem, arrays, facts, off, on)
    yield from arrays.unread(stem)


class _Question:
    """The golden's input, ready to be asked."""

    def __init__(self, bench: Bench, arrays: Arrays, case: str, face: Tensor):
        self.denoiser = bench.tiny.denoiser
        self.sample = torch.from_numpy(arrays["sample"]).transpose(1, 2)
        self.timestep = torch.from_numpy(arrays["timestep"])[None]
        self.audio = bench.rules.input(f"{case}/audio", (1, self.sample.shape[1], 50, 384))
        self.face = face

    def __call__(self, reference: tuple[KeyValue, ...], *, guided: bool = False) -> Tensor:
        inputs = {"audio": self.audio, "face": self.face, "reference": reference, "guided": guided}
        return self.denoiser(self.sample, self.timestep, **inputs).transpose(1, 2)


def _face(bench: Bench, arrays: Arrays) -> Tensor:
    if "mask" in arrays:
        mask = torch.from_numpy(arrays["mask"])[0].transpose(0, 1)
        return bench.tiny.face_locator(mask)  # type: ignore[no-any-return]
    poses = torch.from_numpy(arrays["pose_images_u8"]).permute(0, 3, 1, 2) / 255.0
    return pose_locator(bench.rules)(poses)  # type: ignore[no-any-return]


def pose_locator(rules: Rules) -> nn.Module:
    """The locator of the pose pipelines, which sees pictures instead of masks."""
    locator = locator_for(TINY, channels=3)
    rules.fill(locator, "face_locator", "face_locator_pose")
    return locator


def locator_for(architecture: Architecture, channels: int) -> nn.Module:
    """A face locator for pictures of so many channels; the engine's masks have one."""
    locator = face_locator(architecture)
    locator.conv_in = nn.Conv2d(channels, locator.conv_in.out_channels, kernel_size=3, padding=1)
    return locator.requires_grad_(False)


def _unrounded(bench: Bench, bank: Bank) -> tuple[KeyValue, ...]:
    blocks = bench.tiny.denoiser.transformer_blocks()
    return tuple(block.attn1.keys_values(states) for block, states in zip(blocks, bank, strict=True))


def _places(reference: ReferenceNet) -> dict[str, int]:
    """Position in our bank of the block at each module path."""
    paths = {block: path for path, block in reference.named_modules()}
    return {paths[block]: place for place, block in enumerate(reference.transformer_blocks())}


def _inside(arrays: Arrays, facts: Facts) -> list[str]:
    names = {key.removeprefix("mid/") for key in arrays if key.startswith("mid/")}
    for cfg in ("cfgoff", "cfgon"):
        names |= set(facts.get(f"intermediate_{cfg}", {}))
    return sorted(names)


def _intermediates(
    stem: str, arrays: Arrays, facts: Facts, off: dict[str, Tensor], on: dict[str, Tensor]
) -> Iterator[AnyRow]:
    for name, ours in off.items():
        if f"mid/{name}" in arrays:
            yield compare(f"{stem} mid/{name}", _video(ours), arrays[f"mid/{name}"], HIDDEN)
    for name, golden in facts.get("intermediate_cfgoff", {}).items():
        yield compare_statistics(f"{stem} cfgoff {name}", _video(off[name]), golden, HIDDEN)
    for name, golden in facts.get("intermediate_cfgon", {}).items():
        ours = torch.cat([on[name]] * 2) if name in SHARED else on[name]
        yield compare_statistics(f"{stem} cfgon {name}", _video(ours, halves=2), golden, HIDDEN)


def _video(folded: Tensor, halves: int = 1) -> Tensor:
    """[halves × frames, channels, h, w] as the goldens lay it out, [halves, channels, frames, h, w]."""
    return folded.unflatten(0, (halves, -1)).transpose(1, 2) if folded.dim() == 4 else folded


@contextmanager
def _tapped(network: nn.Module, names: list[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of the named sub-modules."""
    seen: dict[str, Tensor] = {}
    taps = [
        network.get_submodule(_path(name)).register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.__setitem__(name, output)
        )
        for name in names
    ]
    try:
        yield seen
    finally:
        for tap in taps:
            tap.remove()


def _path(name: str) -> str:
    """`down0.attn1` of the goldens is `down_blocks.0.attentions.1`."""
    short = re.fullmatch(r"(down|up)(\d+)\.(resnet|attn|motion)(\d+)", name)
    if not short:
        return name
    direction, stage, part, layer = short.groups()
    return f"{direction}_blocks.{stage}.{PARTS[part]}.{layer}"
