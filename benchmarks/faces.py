"""How long it takes to find a face, and in how much memory: MediaPipe, which every engine needs, and MTCNN.

    python -m benchmarks.faces

Each detector searches each photo in a process of its own, one after the other, so that what else the machine
does affects both. The shortest of several searches counts; memory is what they add to the process, which has
its libraries and the photo already.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from PIL import Image
from skimage.data import astronaut

SIDES = (512, 1280, 4000)
SEARCHES = 5
DETECTORS = ("MediaPipe", "MTCNN")


def detector(name: str) -> Callable[[Image.Image], Any]:
    """It, loaded and warm."""
    if name == "MediaPipe":
        from models.face import find_faces

        search: Callable[[Image.Image], Any] = find_faces
    else:
        from models.echomimic.mtcnn import Mtcnn

        search = Mtcnn()
    search(Image.fromarray(astronaut()).crop((0, 0, 64, 64)))
    return search


def measure(name: str, side: int) -> tuple[float, float, float]:
    """Seconds and processor seconds of the quickest search, and MiB added by all."""
    search = detector(name)
    photo = Image.fromarray(astronaut()).resize((side, side))
    before, times = peak(), []
    for _ in range(SEARCHES):
        start, start_cpu = time.perf_counter(), time.process_time()
        search(photo)
        times.append((time.perf_counter() - start, time.process_time() - start_cpu))
    return min(wall for wall, _ in times), min(cpu for _, cpu in times), peak() - before


def peak() -> float:
    """The most memory that this process ever had, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main() -> None:
    """Measure and print."""
    print(f"cores {os.cpu_count()}, load before {os.getloadavg()[0]:.1f}")
    print(f"{'photo':>12s} {'detector':10s} {'time':>9s} {'processor':>10s} {'memory':>9s}")
    for side in SIDES:
        for name in DETECTORS:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                wall, cpu, memory = process.submit(measure, name, side).result()
            times = f"{wall * 1000:6.0f} ms {cpu * 1000:7.0f} ms"
            print(f"{side:5d} × {side:<4d} {name:10s} {times} {memory:5.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
