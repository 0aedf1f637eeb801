"""How fast the diffusion engine is, what its time goes into, and how much memory it takes.

    python -m benchmarks.echomimic                                    the tiny networks on this CPU
    python -m benchmarks.echomimic --preset official --device cuda:0  all there is to know about a GPU

Without `--weights` they are made up by rule: they take as long as the published ones. Every figure is of this
run, each gain of the old way and the new one side by side.
"""

import argparse
import math
import os
import resource
import sys
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
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from benchmarks.preview import repeat
from benchmarks.published import published_denoise
from benchmarks.weights import GIB, PRESETS, load_measured, written
from models.echomimic.engine import DTYPES, EchoMimicEngine, Precision, use_all_cores
from models.echomimic.latents import decode_latents, encode
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import Architecture
from models.echomimic.networks.reference import Bank
from models.echomimic.pipeline import Pipeline, condition
from models.echomimic.sampler import Conditioning, denoise, prepare_latents
from models.echomimic.speech_features import SAMPLES_PER_ROW, speech_features
from models.echomimic.weights.variants import VARIANTS
from models.engine import Control, Scene
from models.params import GenerationParams
from models.pipeline import generate_video
from models.portrait import Portrait
from models.speech import SAMPLE_RATE, Speech
from serve_app.demo import SPEECH

MATMUL_SIDE = {"cuda": 8192, "cpu": 1024}  # large enough for the device's best
MATMULS = 20
ROUNDS = 3
GUIDED = 2.5  # the default of the published base variant
GIGA, TERA = 1e9, 1e12


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
        """Until the device has finished its work."""
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
    def pipeline(self) -> Pipeline:
        """The stages with these networks."""
        return Pipeline(self.networks, self.architecture)

    def noise(self, frames: int) -> Tensor:
        """The starting noise of a video of so many frames."""
        return prepare_latents(self.architecture, self.params, frames).to(self.device)

    def denoise(
        self, conditioning: Conditioning, noise: Tensor, window_batch: int = 1, **changes: Any
    ) -> Tensor:
        """From noise to latents, with other numbers than those of `params` where some are given."""
        params = replace(self.params, **changes)
        denoiser = self.networks.denoiser
        return denoise(denoiser, conditioning, noise, params, ignore, window_batch=window_batch)

    def published_denoise(
        self, bank: Bank, conditioning: Conditioning, noise: Tensor, **changes: Any
    ) -> Tensor:
        """The same as the published algorithm does it."""
        params = replace(self.params, **changes)
        return published_denoise(self.networks.denoiser, bank, conditioning, noise, params, ignore)

    def scene(self, frames: int) -> Scene:
        """A scene of so many frames."""
        return Scene(self.portrait(), self.speech(frames), self.params, frames)

    def portrait(self) -> Portrait:
        """The astronaut, her whole picture taken for a face."""
        size = self.params.width, self.params.height
        image = np.array(Image.fromarray(astronaut()).resize(size))
        return Portrait(image, np.full(image.shape[:2], 255, np.uint8), landmarks=None)

    def speech(self, frames: int) -> Speech:
        """A hum that lasts so many frames."""
        moments = np.arange(frames * SAMPLE_RATE // self.params.fps) / SAMPLE_RATE
        return Speech((0.3 * 2**15 * np.sin(2 * np.pi * 220 * moments)).astype(np.int16))


def main() -> None:
    """Measure and print everything."""
    options = parse()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what is known is said at once
    with tempfile.TemporaryDirectory() as name:
        bench = set_up(options, options.weights or written(options.preset, Path(name)))
    print(f"{describe(bench.device)}, {bench.dtype}, {bench.params}, {options.frames} frames")
    measure_memory(bench, options.lengths)  # first, as a process never forgets its peak
    ceiling = measure_ceiling(bench)
    print(f"\nmatmul ceiling: {ceiling / TERA:.3f} TFLOP/s")
    flops = {name: count(call) for name, call in stage_calls(bench, options.frames).items()}
    climb(bench, options.frames, compiled=options.compiled)
    measure_stages(bench, options.frames, flops, ceiling)
    measure_video(bench, options.frames)


def parse() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.echomimic", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--weights", type=Path, help="a folder of published weights to measure with")
    parser.add_argument("--variant", choices=VARIANTS, default="acc", help="of those weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=DTYPES, help="bf16 on CUDA, fp32 on the CPU")
    parser.add_argument("--width", type=int, help="512 on CUDA, 64 on the CPU")
    parser.add_argument("--height", type=int, help="512 on CUDA, 64 on the CPU")
    parser.add_argument("--frames", type=int, default=None, help="240 on CUDA, 24 on the CPU")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--cfg", type=float, default=1.0)
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[24, 240, 1200], help="whose memory is compared"
    )
    parser.add_argument(
        "--compiled", action=argparse.BooleanOptionalAction, help="compile as well, for minutes; on CUDA"
    )
    options = parser.parse_args()
    on_cuda = options.device.startswith("cuda")
    side, frames = (512, 240) if on_cuda else (64, 24)
    options.compiled = on_cuda if options.compiled is None else options.compiled
    options.width, options.height = options.width or side, options.height or side
    options.frames = options.frames or frames
    return options


def set_up(options: argparse.Namespace, weights: Path) -> Bench:
    """Networks where they are to be measured."""
    device = torch.device(options.device)
    if device.type == "cpu":
        use_all_cores()
    precision: Precision = options.precision or ("fp32" if device.type == "cpu" else "bf16")
    architecture, dtype = PRESETS[options.preset], DTYPES[precision]
    networks = load_measured(weights, architecture, options.variant, dtype, device)
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
    """What conditions the denoiser, our way and as the published algorithm keeps it."""
    scene = bench.scene(frames)
    latents = encode(bench.networks.vae, scene.portrait.image)
    return condition(bench.networks, scene), bench.networks.reference(latents)


@dataclass(frozen=True)
class Way:
    """One way to make a video: from noise to latents, and from latents to pictures."""

    words: str
    denoise: Callable[[], Tensor]
    decode: Callable[[Tensor], None]


def climb(bench: Bench, frames: int, *, compiled: bool) -> None:
    """Print what each step away from the published algorithm gains, first without it and then with it."""
    conditioning, bank = prepare(bench, frames)
    noise, networks = bench.noise(frames), bench.networks
    windows = bench.pipeline.window_batch(conditioning, noise, bench.params)
    batch = bench.pipeline.frame_batch(noise, bench.params)

    def published() -> Tensor:
        return bench.published_denoise(bank, conditioning, noise)

    def once() -> Tensor:
        return bench.denoise(conditioning, noise)

    def together() -> Tensor:
        return bench.denoise(conditioning, noise, windows)

    def singly(latents: Tensor) -> None:
        decode_all(networks, latents, 1)

    def by_pieces(latents: Tensor) -> None:
        decode_all(networks, latents, batch)

    first = Way("published: one window, one picture", published, singly)
    ways = [
        first,
        Way("portrait projected once", once, singly),
        Way(f"up to {windows} windows a forward", together, singly),
        Way(f"up to {batch} pictures a forward", together, by_pieces),
    ]
    print(f"\n{'':36s} {'denoise':>10s} {'decode':>10s} {'sum':>10s} {'gain':>6s} {'in all':>6s}")
    time_ways(bench, ways)
    print_ways(bench, ways)
    difference = float((published() - together()).abs().max())
    measure_attention(bench, conditioning, noise)
    measure_guidance(bench, conditioning, bank, noise)
    reformat(networks, torch.channels_last)
    ways.append(Way("weights channels last", together, by_pieces))
    time_ways(bench, ways[-1:])
    print_ways(bench, ways, last=1)
    reformat(networks, torch.contiguous_format)  # as the engine has them
    if compiled:
        ways.append(Way("compiled", together, by_pieces))
        compile_timed(bench)
        time_ways(bench, ways[-1:])
        print_ways(bench, ways, last=1)
    print(f"largest difference of the latents between the published way and ours: {difference:.1e}")


def time_ways(bench: Bench, ways: list[Way]) -> None:
    """In turn, so that what else the machine does hits all; the first round only warms up."""
    for measured in [False] + [True] * ROUNDS:
        for way in ways:
            with bench.time(f"{way.words} denoising" if measured else "warm-up"):
                latents = way.denoise()
            with bench.time(f"{way.words} decoding" if measured else "warm-up"):
                way.decode(latents)


def print_ways(bench: Bench, ways: list[Way], last: int | None = None) -> None:
    """One line each, or for the last few; gains relative to the line before and to the first."""
    sums = [[bench.times[f"{way.words} {part}"] for part in ("denoising", "decoding")] for way in ways]
    for index in range(len(ways) - (last or len(ways)), len(ways)):
        times = [*sums[index], sum(sums[index])]
        gain, in_all = (sum(sums[before]) / times[-1] for before in (max(index - 1, 0), 0))
        seconds = " ".join(f"{value:8.3f} s" for value in times)
        print(f"{ways[index].words:36s} {seconds} {gain:5.2f}× {in_all:5.2f}×", flush=True)


def reformat(networks: Networks, memory_format: torch.memory_format) -> None:
    """Lay the weights of all convolutions out anew."""
    for network in vars(networks).values():
        network.to(memory_format=memory_format)


def compile_timed(bench: Bench) -> None:
    """Print how much later the engine is ready."""
    start = time.perf_counter()
    EchoMimicEngine(bench.networks, bench.architecture).compile(bench.params)
    print(f"compiling took {time.perf_counter() - start:.0f} s")


def measure_attention(bench: Bench, conditioning: Conditioning, noise: Tensor) -> None:
    """Print what fused attention gains over plain matrix products, for one window."""
    window = noise[: bench.params.context_frames]
    try:
        for _ in range(ROUNDS + 1):
            with bench.time("plain"), sdpa_kernel(SDPBackend.MATH):
                bench.denoise(conditioning, window, steps=1)
            with bench.time("fused"):
                bench.denoise(conditioning, window, steps=1)
    except torch.OutOfMemoryError:
        print("fused attention: the memory is too small for any other")
        return
    print(f"fused attention, one window: {bench.times['plain'] / bench.times['fused']:.2f}×")


def measure_guidance(bench: Bench, conditioning: Conditioning, bank: Bank, noise: Tensor) -> None:
    """Print what it gains that the unconditional half attends once and to nothing, for one window."""
    window = noise[: bench.params.context_frames]
    for _ in range(ROUNDS + 1):
        with bench.time("guided, published"):
            bench.published_denoise(bank, conditioning, window, steps=1, cfg=GUIDED)
        with bench.time("guided"):
            bench.denoise(conditioning, window, steps=1, cfg=GUIDED)
    gain = bench.times["guided, published"] / bench.times["guided"]
    print(f"guidance, and the portrait projected once, one window: {gain:.2f}×")


def decode_all(networks: Networks, latents: Tensor, batch: int) -> None:
    """Every picture, none kept."""
    for _ in decode_latents(networks.vae, latents, batch):
        pass


def measure_stages(bench: Bench, frames: int, flops: dict[str, int], ceiling: float) -> None:
    """Print time, share and FLOP of each stage as the engine runs them."""
    times = {}
    for name, call in stage_calls(bench, frames).items():
        for _ in range(ROUNDS):
            with bench.time(name):
                call()
        times[name] = bench.times[name]
    whole = sum(times.values())
    print(f"\n{'stage':12s} {'time':>10s} {'share':>6s} {'GFLOP':>10s} {'of the ceiling':>15s}")
    for name, seconds in times.items():
        used = flops[name] / seconds / ceiling
        print(f"{name:12s} {seconds:8.3f} s {seconds / whole:6.1%} {flops[name] / GIGA:10.1f} {used:15.1%}")
    print(f"{frames / whole:.2f} frames/s; real time is {bench.params.fps}")


def count(call: Callable[[], Any]) -> int:
    """FLOP of a call; before anything is compiled, as compiled kernels cannot be counted."""
    with counter() as counted:
        call()
    return int(counted.get_total_flops())


def stage_calls(bench: Bench, frames: int) -> dict[str, Callable[[], Any]]:
    """Every stage on its own, on inputs of the right size."""
    portrait, speech = bench.portrait(), bench.speech(frames)
    conditioning, _ = prepare(bench, frames)
    networks, noise = bench.networks, bench.noise(frames)
    windows = bench.pipeline.window_batch(conditioning, noise, bench.params)
    latents = encode(networks.vae, portrait.image)
    batch = bench.pipeline.frame_batch(noise, bench.params)
    return {
        "portrait": lambda: encode(networks.vae, portrait.image),
        "reference": lambda: refer(networks, latents),
        "speech": lambda: hear(networks, speech.samples),
        "denoising": lambda: bench.denoise(conditioning, noise, windows),
        "decoding": lambda: decode_all(networks, noise, batch),
    }


@torch.inference_mode()
def refer(networks: Networks, latents: Tensor) -> None:
    """The reference net, and its projection for the denoiser."""
    networks.denoiser.project(networks.reference(latents))


@torch.inference_mode()
def hear(networks: Networks, samples: np.ndarray) -> None:
    """The speech encoder."""
    speech_features(networks.speech, samples, len(samples) // SAMPLES_PER_ROW)


def counter() -> FlopCounterMode:
    """Counts attention too, which PyTorch's own table lacks off CUDA and in inference mode."""

    def attention(query: Any, key: Any, value: Any, *_rest: Any, out_shape: Any = None, **_more: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    aten = torch.ops.aten
    operators = (aten.scaled_dot_product_attention, aten._scaled_dot_product_flash_attention_for_cpu)
    return FlopCounterMode(display=False, custom_mapping=dict.fromkeys(operators, attention))


def measure_video(bench: Bench, frames: int) -> None:
    """Print how long a video takes from the call to the closed MP4, warm; also with low memory."""
    with tempfile.TemporaryDirectory() as name:
        portrait, speech, video = (Path(name) / file for file in ("portrait.png", "speech.wav", "video.mp4"))
        Image.fromarray(astronaut()).save(portrait)
        repeat(SPEECH, speech, -(-frames // bench.params.fps) + 1)
        for low_memory in (False, True):
            kind = "low memory" if low_memory else "video"
            with engine_with(bench, low_memory=low_memory) as engine:
                for run in ("cold", kind):
                    with bench.time(run):
                        generate_video(
                            engine,
                            portrait,
                            speech,
                            video,
                            bench.params,
                            lambda progress: None,
                            lambda: False,
                        )
            seconds = bench.times[kind]
            print(f"{kind}, to the closed MP4, warm: {seconds:.2f} s, {frames / seconds:.2f} frames/s")


@contextmanager
def engine_with(bench: Bench, *, low_memory: bool) -> Iterator[EchoMimicEngine]:
    """An engine; with low memory its idle networks are on the host meanwhile."""
    idle = [network for name, network in vars(bench.networks).items() if name != "denoiser"]
    for network in idle if low_memory else ():
        network.to("cpu")
    yield EchoMimicEngine(bench.networks, bench.architecture, low_memory=low_memory)
    for network in idle if low_memory else ():
        network.to(bench.device)


def measure_memory(bench: Bench, lengths: list[int]) -> None:
    """Print the peak for videos of each length, the shortest first, and for one with low memory."""
    for frames, low_memory in [(min(lengths), True), *((frames, False) for frames in sorted(lengths))]:
        params = replace(bench.params, length=frames, steps=1)  # as much as any number of steps
        with engine_with(bench, low_memory=low_memory) as engine:
            highest = peak_of(bench, engine, params)
        words = f"{frames} frames" + (", low memory" if low_memory else "")
        print(f"peak memory at {words}: {highest / GIB:.3f} GiB", flush=True)


def peak_of(bench: Bench, engine: EchoMimicEngine, params: GenerationParams) -> int:
    """Bytes that one video takes at most."""
    peaks = [0]  # looked at in between as well, since the engine's own trials begin a new count

    def look(_share: float) -> None:
        peaks.append(peak(bench.device))

    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(bench.device)
    scene = Scene(bench.portrait(), bench.speech(params.length), params, params.length)
    for _ in engine.frames(scene, Control(look, lambda: False)):
        pass
    look(1.0)
    return max(peaks)


def peak(device: torch.device) -> int:
    """Bytes: of the device's tensors since the last reset, or of this process since it started."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kibibytes on Linux


def ignore(_share: float) -> None:
    """Nobody follows the progress."""


if __name__ == "__main__":
    main()
