"""From the published files to networks."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.layout import CONFIG, VAE, published
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import TINY
from models.echomimic.weights.checkpoints import load
from models.errors import CheckpointError

MOTION_BIAS = "mid_block.motion_modules.0.temporal_transformer.proj_in.bias"


@pytest.fixture
def copied(layout: Path, tmp_path: Path) -> Path:
    """The layout again, to be damaged."""
    return Path(shutil.copytree(layout, tmp_path / "layout"))


def same(ours: Networks, others: Networks) -> bool:
    pairs = zip(vars(ours).values(), vars(others).values(), strict=True)
    states = [(network.state_dict(), other.state_dict()) for network, other in pairs]
    return all(torch.equal(tensor, other[key]) for state, other in states for key, tensor in state.items())


def edit(path: Path, change: dict[str, Tensor | None]) -> None:
    """Replace tensors of a file; None takes one out."""
    state = {**torch.load(path, weights_only=True), **change}
    torch.save({key: value for key, value in state.items() if value is not None}, path)


def test_every_tensor_arrives(layout: Path, networks: Networks) -> None:
    loaded = load(layout, TINY)
    assert same(loaded.networks, networks)
    assert loaded.warnings == ()


def test_networks_are_ready_for_inference(layout: Path) -> None:
    for network in vars(load(layout, TINY).networks).values():
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_tensors_are_converted_on_their_way_but_speech_stays_exact(layout: Path) -> None:
    networks = load(layout, TINY, dtype=torch.bfloat16).networks
    dtypes = {name: network.dtype for name, network in vars(networks).items() if name != "face_locator"}
    assert dtypes.pop("speech") == torch.float32
    assert set(dtypes.values()) == {torch.bfloat16}


def test_safetensors_are_as_good(copied: Path, networks: Networks) -> None:
    for path in copied.glob("*.pth"):
        save_file(torch.load(path, weights_only=True), path.with_suffix(".safetensors"))
        path.unlink()
    assert same(load(copied, TINY).networks, networks)


def test_the_base_variant_has_files_of_its_own(copied: Path, networks: Networks) -> None:
    for name in ("denoising_unet", "motion_module"):
        (copied / f"{name}_acc.pth").rename(copied / f"{name}.pth")
    assert same(load(copied, TINY, variant="base").networks, networks)


def test_older_names_in_the_vae_are_understood(copied: Path, networks: Networks) -> None:
    old = {
        key.replace("to_q", "query")
        .replace("to_k", "key")
        .replace("to_v", "value")
        .replace("to_out.0", "proj_attn"): tensor
        for key, tensor in published(networks, "vae").items()
    }
    save_file(old, copied / VAE)
    assert same(load(copied, TINY).networks, networks)


def test_motion_inside_the_denoiser_file_wins(copied: Path) -> None:
    edit(copied / "denoising_unet_acc.pth", {MOTION_BIAS: torch.full((128,), 7.0)})
    motion: Any = load(copied, TINY).networks.denoiser.mid_block.motion_modules[0]
    assert motion.proj_in.bias.unique().tolist() == [7.0]


def test_a_missing_motion_module_is_an_error(copied: Path) -> None:
    (copied / "motion_module_acc.pth").unlink()
    with pytest.raises(CheckpointError, match=r"motion_module_acc.*looked for.*motion_module_acc\.pth"):
        load(copied, TINY)


def test_a_missing_key_is_named_with_its_file_and_shape(copied: Path) -> None:
    edit(copied / "motion_module_acc.pth", {MOTION_BIAS: None})
    with pytest.raises(CheckpointError, match=rf"motion_module_acc\.pth.* {MOTION_BIAS}.*\[128\]"):
        load(copied, TINY)


def test_a_wrong_shape_is_named_with_what_was_expected(copied: Path) -> None:
    edit(copied / "reference_unet.pth", {"conv_in.bias": torch.zeros(320)})
    with pytest.raises(CheckpointError, match=r"reference_unet\.pth.*conv_in\.bias.*\[320\].*\[32\]"):
        load(copied, TINY)


def test_unknown_keys_are_a_warning_that_lists_them(copied: Path) -> None:
    edit(copied / "face_locator.pth", {"extra.weight": torch.zeros(1), "extra.bias": torch.zeros(1)})
    (warning,) = load(copied, TINY).warnings
    assert "face_locator.pth" in warning
    assert "extra.weight, extra.bias" in warning


@pytest.mark.parametrize("name", ["reference_unet.pth", VAE])
def test_a_truncated_file_is_an_error(copied: Path, name: str) -> None:
    path = copied / name
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CheckpointError, match=f"{path.name}.*truncated"):
        load(copied, TINY)


class Trap:
    """Leaves a file behind when unpickled carelessly."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_code_in_a_checkpoint_is_not_run(copied: Path) -> None:
    torch.save({"conv_in.weight": Trap(copied / "sprung")}, copied / "face_locator.pth")
    with pytest.raises(CheckpointError, match="face_locator"):
        load(copied, TINY)
    assert not (copied / "sprung").exists()


def test_a_description_of_another_architecture_is_an_error(copied: Path) -> None:
    (copied / CONFIG).write_text(json.dumps({"block_out_channels": [320, 640, 1280, 1280]}))
    with pytest.raises(CheckpointError, match=r"config\.json has block_out_channels.*expected \[32, 64"):
        load(copied, TINY)
