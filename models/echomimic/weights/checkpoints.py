"""From the published checkpoint files to networks: every tensor goes straight to its place.

Knows nothing of downloading. Nothing is unpickled that could run code, and nothing is held twice: files
are memory-mapped, networks are built without allocating memory, and each tensor is converted as it is copied.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.echomimic.networks.build import Networks, build
from models.echomimic.networks.config import Architecture
from models.echomimic.weights.layout import CONFIG, SUFFIXES, stems
from models.echomimic.weights.variants import Variant
from models.errors import CheckpointError

# Where network and file name a tensor differently: a pattern in our name and the replacement that gives
# theirs, applied in this order.
RENAMED: dict[str, tuple[tuple[str, str], ...]] = {
    "denoiser": ((r"(motion_modules\.\d+)", r"\1.temporal_transformer"),),
    "speech": (
        (r"^layers", "blocks"),
        (r"self_attn\.([qkv])_proj", r"attn.\1_proj"),
        (r"q_proj", "query"),
        (r"k_proj", "key"),
        (r"v_proj", "value"),
        (r"self_attn\.out_proj", "attn.out"),
        (r"self_attn_layer_norm", "attn_ln"),
        (r"final_layer_norm", "mlp_ln"),
        (r"fc1", "mlp.0"),
        (r"fc2", "mlp.2"),
        (r"^layer_norm", "ln_post"),
        (r"embed_positions\.weight", "positional_embedding"),
        (r"^", "encoder."),
    ),
}

# Names in older exports of the VAE: a pattern in today's name, and its replacement.
LEGACY: dict[str, tuple[tuple[str, str], ...]] = {
    "vae": (
        (r"to_q", "query"),
        (r"to_k", "key"),
        (r"to_v", "value"),
        (r"to_out\.0", "proj_attn"),
    ),
}

ENVELOPE = {"speech": "model_state_dict"}  # the entry of the file that holds the tensors
UNUSED = {"speech": ("decoder.",)}  # parts of a file that are known to be unused: no warning


@dataclass(frozen=True)
class Loaded:
    """Networks with their weights.

    Attributes:
        warnings: one line per file that holds unused keys, listing them.
    """

    networks: Networks
    warnings: tuple[str, ...]


def load(
    folder: Path,
    architecture: Architecture,
    *,
    variant: Variant = "acc",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    idle: torch.device | str | None = None,
) -> Loaded:
    """Load the published layout.

    Args:
        folder: holds `denoising_unet_acc.pth`, `motion_module_acc.pth`, `reference_unet.pth`, … each
            as `.pth`, `.pt`, `.bin` or `.safetensors`.
        architecture: what the files must match.
        variant: "acc" is the accelerated pair of denoiser and motion modules, "base" the original one.
        dtype: of all networks but the speech encoder, which stays float32: it is small and runs once.
        device: where the tensors go, one by one.
        idle: where the tensors of all networks but the denoiser go; `device` by default.

    Raises:
        CheckpointError: it names the file, the key, what was found and what was expected.
    """
    _check_config(folder / CONFIG, architecture)
    with torch.device("meta"):
        networks = build(architecture)
    warnings: list[str] = []
    for name, network in vars(networks).items():
        files = [_File.open(folder, stem, name) for stem in stems(variant)[name]]
        target = torch.float32 if name == "speech" else dtype
        place = torch.device(device if idle is None or name == "denoiser" else idle)
        state = {key: tensor.to(place, target) for key, tensor in _pick(name, network, files)}
        network.load_state_dict(state, assign=True)
        warnings += _unknown(name, network, files)
    return Loaded(networks, tuple(warnings))


def published_names(network: str, key: str) -> list[str]:
    """The names that the files may use for a tensor, today's name first."""
    name = _rename(key, RENAMED.get(network, ()))
    return list(dict.fromkeys([name, _rename(name, LEGACY.get(network, ()))]))


def _rename(key: str, table: tuple[tuple[str, str], ...]) -> str:
    for ours, theirs in table:
        key = re.sub(ours, theirs, key)
    return key


@dataclass(frozen=True)
class _File:
    """A checkpoint file whose tensors are still on the disk."""

    path: Path
    tensors: dict[str, Tensor]

    @classmethod
    def open(cls, folder: Path, stem: str, network: str) -> "_File":
        path = _find(folder, stem)
        try:
            content = _read(path)
        except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError, TypeError) as error:
            raise CheckpointError(
                f"{path} cannot be read; it may be truncated, or not a checkpoint at all ({error})"
            ) from error
        envelope = ENVELOPE.get(network)
        if envelope in content:
            content = content[envelope]
        return cls(path, {key: value for key, value in content.items() if isinstance(value, Tensor)})


def _find(folder: Path, stem: str) -> Path:
    names = [f"{stem}{suffix}" for suffix in SUFFIXES]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"no checkpoint file {stem} in {folder}; looked for {', '.join(names)}")


def _read(path: Path) -> dict:
    if path.suffix == ".safetensors":
        return load_file(path)
    # Only zip files can be memory-mapped; the format that torch wrote before 1.6 is read into memory.
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    if not isinstance(content, dict):
        raise TypeError(f"found a {type(content).__name__}, expected tensors by name")
    return content


def _pick(name: str, network: nn.Module, files: list[_File]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the network, as it is in its file."""
    for key, wanted in network.state_dict().items():
        yield key, _tensor(published_names(name, key), tuple(wanted.shape), files)


def _tensor(names: list[str], shape: tuple[int, ...], files: list[_File]) -> Tensor:
    for file in files:
        for name in names:
            if name in file.tensors:
                return _shaped(file.tensors[name], shape, name, file.path)
    looked = " and ".join(str(file.path) for file in files)
    raise CheckpointError(f"{looked}: there is no tensor {names[0]}; expected one of shape {list(shape)}")


def _shaped(tensor: Tensor, shape: tuple[int, ...], name: str, path: Path) -> Tensor:
    if tuple(tensor.shape) != shape:
        raise CheckpointError(
            f"{path} has {name} in shape {list(tensor.shape)}; expected {list(shape)}; "
            "the file belongs to another architecture"
        )
    return tensor


def _unknown(name: str, network: nn.Module, files: list[_File]) -> Iterator[str]:
    known = {alias for key in network.state_dict() for alias in published_names(name, key)}
    for file in files:
        keys = [k for k in file.tensors if k not in known and not k.startswith(UNUSED.get(name, ()))]
        if keys:
            yield f"{file.path} holds {len(keys)} tensors that nothing uses: {', '.join(keys)}"


def _check_config(path: Path, architecture: Architecture) -> None:
    """The weights may come with the base model's configuration, which must then match."""
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error})") from error
    expected = {
        "block_out_channels": list(architecture.channels),
        "attention_head_dim": architecture.heads,
        "layers_per_block": architecture.layers,
        "norm_num_groups": architecture.norm_groups,
        "in_channels": architecture.latent_channels,
    }
    for key, value in expected.items():
        if found.get(key) != value:
            raise CheckpointError(f"{path} has {key} = {found.get(key)}; expected {value}")
