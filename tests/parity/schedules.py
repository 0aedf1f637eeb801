"""Goldens without networks: the ring of windows and the DDIM schedule."""

import math
from collections.abc import Iterator

import torch

from models.echomimic.sampler import schedule
from models.echomimic.windows import FRAMES_PER_TURN, windows
from tests.parity.bench import Arrays, Bench, Facts
from tests.parity.rows import AnyRow, LeftOut, compare

FRAMES_PER_TURN_POSE = 3  # the pose pipelines turn the ring faster
FLOAT32 = 1e-6
BETAS = 1e-5  # 1 minus a ratio of neighbouring alphas, which nears 0 / 0 at the noisy end
IDENTITY = 1e-6  # how far the authors' "pseudo velocity" is from the velocity itself


def window_rows(bench: Bench, stem: str) -> Iterator[AnyRow]:
    """Compare `context_windows`: exact."""
    facts = bench.facts(stem)
    for case in facts["acc"]:
        yield from _ring(case)
    for case in facts["generic_uniform"]:
        yield _uniform(case)


def _ring(case: Facts) -> Iterator[AnyRow]:
    sizes = case["num_frames"], case["context_frames"], case["overlap"]
    name = "windows {} frames, {} a window, {} shared".format(*sizes)
    base = windows(*sizes)
    yield compare(name, base, case["base_windows"])
    yield compare(f"{name}: how many", len(base), case["n_windows"])
    visits = torch.bincount(torch.tensor(base).flatten(), minlength=sizes[0])
    yield compare(f"{name}: coverage", visits, case["coverage_count_per_frame"])
    yield compare(f"{name}: least coverage", visits.min(), case["min_coverage"])
    for key, turn in (("acc_shift_2", FRAMES_PER_TURN), ("pose_shift_3", FRAMES_PER_TURN_POSE)):
        for step, golden in case[key].items():
            yield compare(f"{name}: {key} step {step}", _turned(base, turn * int(step), sizes[0]), golden)


def _uniform(case: Facts) -> AnyRow:
    sizes = case["num_frames"], case["context_frames"], case["overlap"]
    name = "uniform {} frames, {} a window, {} shared".format(*sizes)
    name += f", step {case['step']}, stride {case['stride']}"
    if case["stride"] != 1:
        return LeftOut(name, "windows that skip frames, which none of the pipelines ever asks for")
    offset = round(sizes[0] * _halving(case["step"]))
    return compare(name, _turned(windows(*sizes), offset, sizes[0]), case["windows"])


def _turned(ring: list[list[int]], by: int, frames: int) -> list[list[int]]:
    """The ring moved on, as the sampler does it with tensors."""
    return [[(frame + by) % frames for frame in window] for window in ring]


def _halving(step: int) -> float:
    """Van der Corput's sequence in base 2."""
    return math.fsum(((step >> bit) & 1) / 2 ** (bit + 1) for bit in range(step.bit_length()))


def ddim_rows(bench: Bench, stem: str) -> Iterator[AnyRow]:
    """Compare `ddim`: the schedule, each step's landing place, and the arithmetic of a step."""
    facts, arrays = bench.facts(stem), bench.arrays(stem)
    scheduler = schedule(1)
    alphas = scheduler.alphas_cumprod
    yield compare(f"{stem} betas", scheduler.betas, arrays["betas"], BETAS)
    yield compare(f"{stem} alphas_cumprod", alphas, arrays["alphas_cumprod"], FLOAT32)
    yield compare(f"{stem} init_noise_sigma", scheduler.init_noise_sigma, facts["init_noise_sigma"])
    yield compare(f"{stem} final_alpha_cumprod", scheduler.final_alpha_cumprod, facts["final_alpha_cumprod"])
    for timestep, golden in facts["alphas_cumprod_slices"].items():
        yield compare(f"{stem} alphas_cumprod[{timestep}]", alphas[int(timestep)], golden, FLOAT32)
    for count, golden in facts["steps"].items():
        yield from _timesteps(f"{stem} {count} steps", int(count), golden)
        yield from _steps(f"{stem} {count} steps", int(count), arrays)
    yield from arrays.unread(stem)


def _timesteps(name: str, count: int, golden: Facts) -> Iterator[AnyRow]:
    scheduler = schedule(count)
    timesteps = scheduler.timesteps.tolist()
    landing = [t - len(scheduler.alphas_cumprod) // count for t in timesteps]
    alphas = scheduler.alphas_cumprod.tolist()
    after = [alphas[t] if t >= 0 else float(scheduler.final_alpha_cumprod) for t in landing]
    yield compare(f"{name}: timesteps", timesteps, golden["timesteps"])
    yield compare(f"{name}: prev_timesteps", landing, golden["prev_timesteps"])
    yield compare(f"{name}: alpha_t", [alphas[t] for t in timesteps], golden["alpha_t"], FLOAT32)
    yield compare(f"{name}: alpha_prev", after, golden["alpha_prev"], FLOAT32)


def _steps(name: str, count: int, arrays: Arrays) -> Iterator[AnyRow]:
    if f"step_prev_sample_n{count}" not in arrays:
        return
    scheduler = schedule(count)
    sample, velocity = torch.from_numpy(arrays["sample"]), torch.from_numpy(arrays["model_output"])
    ours = [scheduler.step(velocity, t, sample, return_dict=False)[0] for t in scheduler.timesteps.tolist()]
    golden = arrays[f"step_prev_sample_n{count}"]
    yield compare(f"{name}: prev_sample", torch.stack(ours), golden, 2 * FLOAT32)
    pseudo = arrays[f"pseudo_velocity_n{count}"]
    yield compare(f"{name}: pseudo velocity", velocity.expand(pseudo.shape), pseudo, IDENTITY)
