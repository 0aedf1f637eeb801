"""Weights for a benchmark: made up by rule, written as they are published, and loaded under observation.

python -m benchmarks.weights official FOLDER    write the files (9 GB)
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.layout import write_layout
from benchmarks.rules import Rules
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import OFFICIAL, TINY, Architecture
from models.echomimic.weights.checkpoints import load
from models.echomimic.weights.variants import Variant

PRESETS: dict[str, Architecture] = {"official": OFFICIAL, "tiny": TINY}
STATUS = Path("/proc/self/status")
GIB = 2**30


def written(preset: str, folder: Path) -> Path:
    """A folder of rule weights; another process makes them, so that this one never held them."""
    subprocess.run([sys.executable, "-m", "benchmarks.weights", preset, str(folder)], check=True)
    return folder


def load_measured(
    folder: Path, architecture: Architecture, variant: Variant, dtype: torch.dtype, device: torch.device
) -> Networks:
    """Load, and print how long it took and how much memory of its own this process had meanwhile."""
    if device.type == "cuda":
        torch.zeros(1, device=device)  # what CUDA itself takes is not ours
    start = time.perf_counter()
    with anonymous_memory() as peaks:
        networks = load(folder, architecture, variant=variant, dtype=dtype, device=device).networks
    seconds = time.perf_counter() - start
    tensors = (tensor for network in vars(networks).values() for tensor in network.state_dict().values())
    weights = sum(tensor.nbytes for tensor in tensors)
    grown = max(peaks) - peaks[0]
    print(
        f"loading: {seconds:.1f} s, weights {weights / GIB:.3f} GiB in {dtype},"
        f" anonymous memory {grown / GIB:.3f} GiB, {grown / weights:.2f} of them"
    )
    return networks


@contextmanager
def anonymous_memory() -> Iterator[list[int]]:
    """Bytes of this process that lie in no file, looked at every few milliseconds (Linux only)."""
    seen, done = [_anonymous()], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(_anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
        seen.append(_anonymous())


def _anonymous() -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024  # kibibytes


def main() -> None:
    """Write rule weights."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights")
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    architecture = PRESETS[options.preset]
    write_layout(Rules().networks(architecture), options.folder, architecture)


if __name__ == "__main__":
    main()
