"""How fast task status is answered while a video is being made, measured on this run and this machine.

    python -m benchmarks.api [--clients 50] [--seconds 15]

The clients run in one process beside the service, so their own work is in the figures.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from PIL import Image
from skimage.data import astronaut

from serve_app.client import DEFAULT_URL, EchoMimicClient
from serve_app.demo import SPEECH, service

VIDEOS = 20  # enough work for the engine to be busy throughout


async def poll(task_ids: list[str], clients: int, seconds: float) -> list[float]:
    """Seconds that each answer took, with `clients` asking again and again for `seconds`.

    Each asks for the first task, which starts first, until that is finished, then for the next.
    """
    limits = httpx.Limits(max_connections=clients)
    deadline = time.perf_counter() + seconds
    async with httpx.AsyncClient(base_url=DEFAULT_URL, limits=limits, timeout=30) as http:
        answers = await asyncio.gather(*(_poll_until(http, task_ids, deadline) for _ in range(clients)))
    return [latency for latencies in answers for latency in latencies]


async def _poll_until(http: httpx.AsyncClient, task_ids: list[str], deadline: float) -> list[float]:
    latencies = []
    task_id, *later = task_ids
    while (start := time.perf_counter()) < deadline:
        response = await http.get(f"/task/{task_id}")
        response.raise_for_status()
        latencies.append(time.perf_counter() - start)
        if response.json()["finished_at"] and later:
            task_id, *later = later
    return latencies


def submit_work(client: EchoMimicClient) -> list[str]:
    """Keep the engines busy for a while; gives the tasks' ids."""
    with TemporaryDirectory() as folder:
        portrait = Path(folder) / "portrait.png"
        Image.fromarray(astronaut()).save(portrait)
        return [client.generate_video(portrait, SPEECH) for _ in range(VIDEOS)]


def main() -> None:
    """Start the service, load it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=15)
    arguments = parser.parse_args()
    print(f"cores {os.cpu_count()}, load before {os.getloadavg()[0]:.1f}")
    with service(), EchoMimicClient() as client:
        tasks = submit_work(client)
        latencies = asyncio.run(poll(tasks, arguments.clients, arguments.seconds))
        unfinished = sum(client.task(task_id).finished_at is None for task_id in tasks)
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    print(f"{arguments.clients} clients for {arguments.seconds:g} s, no answer but 200")
    print(f"  {len(latencies) / arguments.seconds:.0f} polls/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(f"  afterwards {unfinished} of {VIDEOS} videos were still to be made")


if __name__ == "__main__":
    main()
