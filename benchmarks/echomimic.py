"""How fast the diffusion engine is, what its time goes into, and how much memory it takes.

    python -m benchmarks.echomimic                                    the tiny networks on this CPU
    python -m benchmarks.echomimic --preset official --device cuda:0  all there is to know about a GPU

Weights are made up by rule: they take as long as the published ones. Every figure is of this run.
"""

import argparse
import math
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from benchmarks.preview import repeat
from benchmarks.published import published_denoised
from models.echomimic.config import OFFICIAL, TINY, Architecture
from models.echomimic.engine import DTYPES, MOST_PICTURES, MOST_WINDOWS, EchoMimicEngine, Precision
from models.echomimic.memory import pieces_at_once
from models.echomimic.networks import Networks
from models.echomimic.pictures import encode
from models.echomimic.pipeline import condition, denoised, pictures
from models.echomimic.reference import Bank
from models.echomimic.sampler import Conditioning, Sampling, starting_noise
from models.echomimic.speech_features import speech_features
from models.params import GenerationParams
from models.pipeline import generate_video
from models.portrait import Portrait
from models.speech import SAMPLE_RATE, Speech
from serve_app.demo import SPEECH
from tests.parity.rules import Rules

PRESETS: dict[str, Architecture] = {"official": OFFICIAL, "tiny": TINY}
MATMUL_SIDE = {"cuda": 8192, "cpu": 1024}  # large enough for the device's best
MATMULS = 20
ROUNDS = 3
GIGA, TERA, GIB = 1e9, 1e12, 2**30


@dataclass
class Bench:
    """What is measured, and on what."""

    architecture: Architecture
    networks: Networks
    device: torch.device
    dtype: torch.dtype
    params: GenerationParams
    times: dict[str, float] = field(default_factory=dict)  # seconds by name

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Time the block, work on the device included; of several runs the shortest counts."""
        self.wait()
        start = time.perf_counter()
        yield
        self.wait()
        self.times[name] = min(self.times.get(name, math.inf), time.perf_counter() - start)

    @property
    def sampling(self) -> Sampling:
        """One window a forward."""
        params = self.params
        return Sampling(params.steps, params.cfg, params.context_frames, params.context_overlap)

    def noise(self, frames: int) -> Tensor:
        """Where a video of so many frames begins."""
        scale = self.architecture.latent_scale
        side = self.params.height // scale, self.params.width // scale
        return starting_noise(frames, *side, self.params.seed).to(self.device)

    def portrait(self) -> Portrait:
        """The astronaut, her whole picture taken for a face."""
        size = self.params.width, self.params.height
        image = np.array(Image.fromarray(astronaut()).resize(size))
        return Portrait(image, np.full(image.shape[:2], 255, np.uint8), landmarks=None)

    def speech(self, frames: int) -> Speech:
        """A hum that lasts so many frames."""
        moments = np.arange(frames * SAMPLE_RATE // self.params.fps) / SAMPLE_RATE
        return Speech((0.3 * np.sin(2 * np.pi * 220 * moments)).astype(np.float32), frames / self.params.fps)


def main() -> None:
    """Measure and print everything."""
    options = parse()
    bench = set_up(options)
    frames = options.frames
    print(f"{options.preset} on {describe(bench.device)}, {bench.dtype}, {bench.params}, {frames} frames")
    measure_memory(bench, options.lengths)  # first, as a process never forgets its peak
    ceiling = measure_ceiling(bench)
    print(f"\nmatmul ceiling: {ceiling / TERA:.3f} TFLOP/s")
    told, bank = prepare(bench, frames)
    warm_up(bench, told, bank)
    compare_with_published(bench, told, bank, frames)
    measure_stages(bench, frames, ceiling)
    measure_video(bench, frames)


def parse() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.echomimic", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=DTYPES, help="bf16 on CUDA, fp32 on the CPU")
    parser.add_argument("--width", type=int, help="512 on CUDA, 64 on the CPU")
    parser.add_argument("--height", type=int, help="512 on CUDA, 64 on the CPU")
    parser.add_argument("--frames", type=int, default=None, help="240 on CUDA, 24 on the CPU")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--cfg", type=float, default=1.0)
    parser.add_argument(
        "--lengths", type=int, nargs="*", default=[24, 240, 1200], help="whose memory is compared"
    )
    options = parser.parse_args()
    side, frames = (512, 240) if options.device.startswith("cuda") else (64, 24)
    options.width, options.height = options.width or side, options.height or side
    options.frames = options.frames or frames
    return options


def set_up(options: argparse.Namespace) -> Bench:
    """Networks with rule weights where they are to be measured."""
    device = torch.device(options.device)
    precision: Precision = options.precision or ("fp32" if device.type == "cpu" else "bf16")
    architecture, dtype = PRESETS[options.preset], DTYPES[precision]
    networks = Rules().networks(architecture)
    for name, network in vars(networks).items():
        network.to(device, torch.float32 if name == "speech" else dtype)
    params = GenerationParams(
        width=options.width,
        height=options.height,
        steps=options.steps,
        cfg=options.cfg,
        length=options.frames,
    )
    return Bench(architecture, networks, device, dtype, params)


def describe(device: torch.device) -> str:
    """The device in words, with what else keeps it busy."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}"
    return f"CPU, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"


@torch.inference_mode()
def measure_ceiling(bench: Bench) -> float:
    """FLOP a second of large matrix products in the dtype of the networks."""
    side = MATMUL_SIDE[bench.device.type]
    left, right = (torch.randn(side, side, device=bench.device, dtype=bench.dtype) for _ in range(2))
    for name in ("first", "ceiling"):
        with bench.time(name):
            for _ in range(MATMULS):
                left @ right
    return MATMULS * 2 * side**3 / bench.times["ceiling"]


@torch.inference_mode()
def prepare(bench: Bench, frames: int) -> tuple[Conditioning, Bank]:
    """What the denoiser is told, our way and as the published algorithm keeps it."""
    portrait, speech = bench.portrait(), bench.speech(frames)
    told = condition(bench.networks, portrait.image, portrait.mask, speech.samples, bench.params.fps)
    latents = encode(bench.networks.vae, portrait.image)
    return told, bench.networks.reference(latents)


def warm_up(bench: Bench, told: Conditioning, bank: Bank) -> None:
    """Let every kernel be chosen once, for both ways and any number of windows."""
    short = replace(bench.sampling, steps=1, window_batch=windows_at_once(bench, told))
    noise = bench.noise(min(len(told.audio), bench.params.context_frames * 10))
    denoised(bench.networks, told, noise, short, unheard)
    published_denoised(bench.networks, bank, told, noise, short, unheard)
    for batch in (1, pictures_at_once(bench)):
        decode_all(bench.networks, noise[:batch], batch)


def windows_at_once(bench: Bench, told: Conditioning) -> int:
    """As the engine decides."""
    noise, once = bench.noise(bench.params.context_frames), replace(bench.sampling, steps=1)
    return pieces_at_once(
        bench.device, lambda: denoised(bench.networks, told, noise, once, unheard), MOST_WINDOWS
    )


def pictures_at_once(bench: Bench) -> int:
    """As the engine decides."""
    one = bench.noise(1)
    return pieces_at_once(bench.device, lambda: decode_all(bench.networks, one, 1), MOST_PICTURES)


def compare_with_published(bench: Bench, told: Conditioning, bank: Bank, frames: int) -> None:
    """Print what each step away from the published algorithm gains."""
    windows, batch = windows_at_once(bench, told), pictures_at_once(bench)
    difference = time_both_ways(bench, told, bank, frames, windows, batch)
    print(f"largest difference of the latents between both ways: {difference:.1e}\n")
    print_gains(
        bench.times,
        [
            ("published: one window, one picture", "published denoising", "published decoding"),
            ("portrait projected once", "portrait projected once", "published decoding"),
            (f"up to {windows} windows a forward", "several windows", "published decoding"),
            (f"up to {batch} pictures a forward", "several windows", "several pictures"),
        ],
    )


def time_both_ways(
    bench: Bench, told: Conditioning, bank: Bank, frames: int, windows: int, batch: int
) -> float:
    """In turn, so that what else the machine does hits all; returns how much the latents differ."""
    networks, noise, one = bench.networks, bench.noise(frames), bench.sampling
    for _ in range(ROUNDS):
        with bench.time("published denoising"):
            theirs = published_denoised(networks, bank, told, noise, one, unheard)
        with bench.time("portrait projected once"):
            ours = denoised(networks, told, noise, one, unheard)
        with bench.time("several windows"):
            denoised(networks, told, noise, replace(one, window_batch=windows), unheard)
        with bench.time("published decoding"):
            decode_all(networks, ours, 1)
        with bench.time("several pictures"):
            decode_all(networks, ours, batch)
    return float((ours - theirs).abs().max())


def decode_all(networks: Networks, latents: Tensor, batch: int) -> None:
    """Every picture, none kept."""
    for _ in pictures(networks, latents, batch):
        pass


def print_gains(times: dict[str, float], rows: list[tuple[str, str, str]]) -> None:
    """One line for each of (words, kind of denoising, kind of decoding); gains relative to the first."""
    print(f"{'':36s} {'denoise':>10s} {'decode':>10s} {'sum':>10s} {'gain':>6s}")
    before = times[rows[0][1]] + times[rows[0][2]]
    for words, denoising, decoding in rows:
        whole = times[denoising] + times[decoding]
        seconds = " ".join(f"{value:8.3f} s" for value in (times[denoising], times[decoding], whole))
        print(f"{words:36s} {seconds} {before / whole:5.2f}×")


def measure_stages(bench: Bench, frames: int, ceiling: float) -> None:
    """Print time, share and FLOP of each stage as the engine runs them."""
    stages = stage_calls(bench, frames)
    times, flops = {}, {}
    for name, call in stages.items():
        with bench.time(name):
            call()
        times[name] = bench.times[name]
        with counter() as counted:
            call()
        flops[name] = counted.get_total_flops()
    whole = sum(times.values())
    print(f"\n{'stage':12s} {'time':>10s} {'share':>6s} {'GFLOP':>10s} {'of the ceiling':>15s}")
    for name, seconds in times.items():
        used = flops[name] / seconds / ceiling
        print(f"{name:12s} {seconds:8.3f} s {seconds / whole:6.1%} {flops[name] / GIGA:10.1f} {used:15.1%}")
    print(f"{frames / whole:.2f} frames/s; real time is {bench.params.fps}")


def stage_calls(bench: Bench, frames: int) -> dict[str, Callable[[], Any]]:
    """Every stage on its own, on inputs of the right size."""
    portrait, speech = bench.portrait(), bench.speech(frames)
    told, _ = prepare(bench, frames)
    networks, noise = bench.networks, bench.noise(frames)
    batched = replace(bench.sampling, window_batch=windows_at_once(bench, told))
    latents = encode(networks.vae, portrait.image)
    samples = torch.from_numpy(speech.samples).to(bench.device)
    batch = pictures_at_once(bench)
    return {
        "portrait": lambda: encode(networks.vae, portrait.image),
        "reference": lambda: refer(networks, latents),
        "speech": lambda: hear(networks, samples),
        "denoising": lambda: denoised(networks, told, noise, batched, unheard),
        "decoding": lambda: decode_all(networks, noise, batch),
    }


@torch.inference_mode()
def refer(networks: Networks, latents: Tensor) -> None:
    """The reference net, and its projection for the denoiser."""
    networks.denoiser.project(networks.reference(latents))


@torch.inference_mode()
def hear(networks: Networks, samples: Tensor) -> None:
    """The speech encoder."""
    speech_features(networks.speech, samples)


def counter() -> FlopCounterMode:
    """Counts attention too, which PyTorch's own table lacks off CUDA and in inference mode."""

    def attention(query: Any, key: Any, value: Any, *_rest: Any, out_shape: Any = None, **_more: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    aten = torch.ops.aten
    operators = (aten.scaled_dot_product_attention, aten._scaled_dot_product_flash_attention_for_cpu)
    return FlopCounterMode(display=False, custom_mapping=dict.fromkeys(operators, attention))


def measure_video(bench: Bench, frames: int) -> None:
    """Print how long the second of two videos takes, from the call to the closed MP4."""
    engine = EchoMimicEngine(bench.networks, bench.architecture)
    with tempfile.TemporaryDirectory() as name:
        portrait, speech, video = (Path(name) / file for file in ("portrait.png", "speech.wav", "video.mp4"))
        Image.fromarray(astronaut()).save(portrait)
        repeat(SPEECH, speech, -(-frames // bench.params.fps) + 1)
        for run in ("cold video", "warm video"):
            with bench.time(run):
                generate_video(
                    engine, portrait, speech, video, bench.params, lambda progress: None, lambda: False
                )
    seconds = bench.times["warm video"]
    print(f"\nfrom the call to the closed MP4, warm: {seconds:.2f} s, {frames / seconds:.2f} frames/s")


def measure_memory(bench: Bench, lengths: list[int]) -> None:
    """Print the peak for videos of each length, the shortest first."""
    engine = EchoMimicEngine(bench.networks, bench.architecture)
    for frames in sorted(lengths):
        if bench.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(bench.device)
        params = replace(bench.params, length=frames, steps=1)  # as much as any number of steps
        blocks = engine.frames(bench.portrait(), bench.speech(frames), params, frames, unheard, lambda: False)
        made = sum(len(block) for block in blocks)
        print(f"peak memory at {made:5d} frames: {peak(bench.device) / GIB:.3f} GiB", flush=True)


def peak(device: torch.device) -> int:
    """Bytes: of the device's tensors since the last reset, or of this process since it started."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kibibytes on Linux


def unheard(_share: float) -> None:
    """Nobody follows the progress."""


if __name__ == "__main__":
    main()
