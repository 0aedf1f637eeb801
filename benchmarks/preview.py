"""How fast the preview engine is and how much memory it takes, measured on this run and this machine.

    python -m benchmarks.preview [speed] [memory] [startup]

The portrait is scikit-image's astronaut, the speech `examples/hello.wav`, repeated where more is needed.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

from models.frame_rate import FrameRate
from models.params import GenerationParams
from models.pipeline import generate_video
from models.portrait import load_portrait
from models.preview import PreviewEngine
from models.preview.acting import act
from models.preview.puppet import Puppet
from models.sound import Sound
from models.speech import load_speech
from models.video import VideoFormat, open_video
from serve_app.client import EchoMimicClient
from serve_app.demo import SPEECH, service

FILLS_THE_FRAME, SMALLER = 0.5, 1.0  # facecrop_dilation_ratio: the default, and one that shows the shoulders
SECONDS = 20  # of speech whose video is timed
LOOP = 48  # frames that are encoded again and again when encoding is timed alone
SHORT, LONG = 10, 100  # seconds of speech whose peak memory is compared


@dataclass
class Stopwatch:
    """Seconds by name of what was done."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Time the block."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder with the portrait in it."""
    with tempfile.TemporaryDirectory() as name:
        Image.fromarray(astronaut()).save(Path(name) / "portrait.png")
        yield Path(name)


def never() -> bool:
    """Nobody asks to stop."""
    return False


def measure_speed() -> None:
    """Print frames a second for a large and a small face, and what each stage takes."""
    print(f"cores {os.cpu_count()}, load before {os.getloadavg()[0]:.1f}")
    engine = warm_engine()
    for ratio in (FILLS_THE_FRAME, SMALLER):
        params = GenerationParams(facecrop_dilation_ratio=ratio)
        with workplace() as folder:
            repeat(SPEECH, folder / "speech.wav", SECONDS)
            stages, frame_count = time_stages(folder, params)
            before = os.times()
            make_video(engine, folder, params)
            after = os.times()
            size = (folder / "video.mp4").stat().st_size
        report(ratio, stages.seconds, after.elapsed - before.elapsed, frame_count, params.fps)
        own = after.user + after.system - before.user - before.system
        ffmpeg = after.children_user + after.children_system - before.children_user - before.children_system
        milliseconds = [1000 * seconds / frame_count for seconds in (own + ffmpeg, own, ffmpeg)]
        print("  CPU time a frame: {:.1f} ms, {:.1f} of our own and {:.1f} in ffmpeg".format(*milliseconds))
        print(f"  size of the file: {size / 1024:.0f} KiB")


def warm_engine() -> PreviewEngine:
    """An engine in a process that has loaded what is loaded once."""
    engine = PreviewEngine()
    with workplace() as folder:
        repeat(SPEECH, folder / "speech.wav", 1)
        make_video(engine, folder, GenerationParams())
    return engine


def make_video(engine: PreviewEngine, folder: Path, params: GenerationParams) -> None:
    """Two uploads to an MP4, as the service does it."""
    portrait, speech, output = (folder / name for name in ("portrait.png", "speech.wav", "video.mp4"))
    generate_video(engine, portrait, speech, output, params, lambda progress: None, never)


def time_stages(folder: Path, params: GenerationParams) -> tuple[Stopwatch, int]:
    """Each stage alone in one thread, one after the other; a video draws two frames at once and encodes."""
    watch = Stopwatch()
    with watch.time("portrait"):
        portrait = load_portrait(folder / "portrait.png", params)
        assert portrait.landmarks is not None
        puppet = Puppet(portrait.image, portrait.landmarks)
    with watch.time("speech"):
        speech = load_speech(folder / "speech.wav", never)
        frame_count = int(speech.duration * params.fps)
        poses = act(speech.beginning(params.length / params.fps), params.fps, frame_count, params.seed)
    with watch.time("rendering"):
        for pose in poses:
            puppet.draw(pose)
    loop = np.stack([puppet.draw(pose) for pose in poses[:LOOP]])
    video = VideoFormat(params.width, params.height, params.fps, frame_count)
    with (
        watch.time("encoding"),
        open_video(folder / "alone.mp4", video, Sound(folder / "speech.wav"), "preview") as writer,
    ):
        for start in range(0, frame_count, LOOP):
            writer.write(loop[: frame_count - start])
    return watch, frame_count


def report(ratio: float, stages: dict[str, float], whole: float, frame_count: int, fps: FrameRate) -> None:
    """Print one portrait's figures."""
    rate = frame_count / whole
    print(
        f"\nfacecrop_dilation_ratio {ratio}: {frame_count} frames of 512×512 in {whole:.2f} s, sound and all"
    )
    print(f"  {rate:.0f} frames/s = {rate / fps:.1f} times real time")
    for name, seconds in stages.items():
        print(f"  {name:10s} {seconds:5.2f} s  {100 * seconds / sum(stages.values()):3.0f} %")


def measure_memory() -> None:
    """Print the peak memory of a fresh process for a short and for a long speech."""
    peaks = {}
    for seconds in (SHORT, LONG):
        command = [sys.executable, "-m", "benchmarks.preview", "one-video", "--seconds", str(seconds)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        peaks[seconds] = float(done.stdout)
        print(f"\n{seconds:3d} s of speech: peak {peaks[seconds]:.0f} MiB, without ffmpeg", flush=True)
    print(f"{LONG} s take {100 * (peaks[LONG] / peaks[SHORT] - 1):+.1f} % of what {SHORT} s take")


def make_one_video(seconds: int) -> None:
    """Make a video of a speech this long, and print this process's peak in MiB."""
    params = GenerationParams(length=round(seconds * GenerationParams.fps))
    with workplace() as folder:
        repeat(SPEECH, folder / "speech.wav", seconds)
        make_video(PreviewEngine(), folder, params)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux; macOS counts bytes
    print(kibibytes / 1024)


def repeat(source: Path, target: Path, seconds: int) -> None:
    """Write a WAV of `seconds` that says the same again and again."""
    with wave.open(str(source)) as read, wave.open(str(target), "wb") as write:
        write.setparams(read.getparams())
        once = read.readframes(read.getnframes())
        size = seconds * read.getframerate() * read.getsampwidth() * read.getnchannels()
        write.writeframes((once * (size // len(once) + 1))[:size])


def measure_startup() -> None:
    """Print how long the service takes to be ready, and to deliver its first video."""
    start = time.perf_counter()
    with workplace() as folder, service(), EchoMimicClient() as client:
        ready = time.perf_counter() - start
        task = client.wait(client.generate_video(folder / "portrait.png", SPEECH), lambda task: None)
        client.download(task.task_id, folder / "video.mp4")
        finished = time.perf_counter() - start
    print(f"\nready {ready:.1f} s after `serve run`")
    own = finished - ready
    print(f"first video ({task.frames_generated} frames) after {finished:.1f} s, {own:.1f} s of its own")


SECTIONS: dict[str, Callable[[], None]] = {
    "speed": measure_speed,
    "memory": measure_memory,
    "startup": measure_startup,
}


def main() -> None:
    """Run the sections that were asked for, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all when none is named")
    parser.add_argument("--seconds", type=int, default=SHORT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sections == ["one-video"]:
        return make_one_video(arguments.seconds)
    for section in arguments.sections or SECTIONS:
        SECTIONS[section]()
    return None


if __name__ == "__main__":
    main()
