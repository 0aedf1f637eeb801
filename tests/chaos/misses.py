"""What the service promised and did not keep, found in its answers, its journal and its files."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import imageio_ffmpeg

from serve_app.tasks.sweeper import SETTLING_S
from tests.chaos.journal import Entry


class Miss(Exception):
    """A promise that was not kept; the message names the task."""


def misses_of_answer(task_id: str, frame_count: int, answer: Mapping) -> Iterator[str]:
    """What is wrong with the service's last answer about an accepted task."""
    if "status" not in answer:
        yield f"task {task_id}: accepted, but forgotten: {answer['detail']}"
    elif answer["status"] != "completed":
        yield f"task {task_id}: {answer['status']}: {answer['error']}"
    elif answer["frames_generated"] != frame_count:
        yield f"task {task_id}: {answer['frames_generated']} frames instead of {frame_count}"


def misses_of_entry(entry: Entry, ends: Sequence[str]) -> Iterator[str]:
    """What is wrong with a task of the journal, whether or not its client was told of it.

    Args:
        entry: the task as it is now.
        ends: how it ended, as often as it did.
    """
    if entry.status != "completed":
        yield f"task {entry.id}: {entry.status} in the journal: {entry.error}"
    elif ends != [f"completed {entry.video}"]:
        yield f"task {entry.id}: ended {len(ends)} times: {', '.join(ends)}"
    elif entry.video != f"attempt-{entry.attempt}.mp4":
        yield f"task {entry.id}: attempt {entry.attempt} counts, but {entry.video} is its video"


def misses_of_video(task_id: str, frame_count: int, video: bytes) -> Iterator[str]:
    """Whether ffmpeg decodes the video without a complaint, to as many frames as were ordered."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", "pipe:0"]
    command += ["-fps_mode", "passthrough", "-f", "framecrc", "pipe:1"]
    done = subprocess.run(command, input=video, capture_output=True, check=False)
    # A line for every frame begins with the number of its stream; the picture is the first.
    frames = [line for line in done.stdout.splitlines() if line.startswith(b"0,")]
    if done.returncode or done.stderr:
        yield f"task {task_id}: its video does not decode: {done.stderr.decode().strip()}"
    elif len(frames) != frame_count:
        yield f"task {task_id}: its video has {len(frames)} frames instead of {frame_count}"


def files_without_a_task(data: Path, entries: Mapping[str, Entry]) -> list[str]:
    """Files below the data folder that no row of the journal names: uploads, videos, unfinished videos.

    Fresh uploads without a row are none: their request may still be on its way, or was never accepted.
    """
    strays = []
    for file in sorted([*data.glob("uploads/*/*"), *data.glob("videos/*/*")]):
        kind, task_id, name = file.relative_to(data).parts
        entry = entries.get(task_id)
        on_its_way = kind == "uploads" and _is_fresh(file)
        if (entry is None and not on_its_way) or (entry and kind == "videos" and name != entry.video):
            strays.append(f"{kind}/{task_id}/{name}")
    return strays


def _is_fresh(file: Path) -> bool:
    try:
        return file.stat().st_mtime > time.time() - SETTLING_S
    except FileNotFoundError:
        return True  # the sweeper was there between our looks
