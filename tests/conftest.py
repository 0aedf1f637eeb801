"""What tests share: portraits and speech that ship, what ffmpeg makes of them, and a running service."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import psutil
import pytest
from PIL import Image
from skimage.data import astronaut

from tests import service as services
from tests import temporary
from tests.service import ROOT, Service

# What pytest asks for the root of its temporary folders.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(temporary.root()))

SPEECH = ROOT / "examples" / "hello.wav"

# A test that uses all these fixtures, directly or through others, gets this marker: none is marked by hand.
# What starts a service is a fixture for this (`tests/test_structure.py` sees to it).
NEEDS = (
    ({"run_service"}, "service"),
    ({"run_launcher"}, "service"),
    ({"run_process"}, "service"),
    ({"run_launcher"}, "alone"),
    ({"run_process"}, "alone"),
    ({"run_campaign"}, "service"),
    ({"run_campaign"}, "cluster"),
    ({"run_service", "postgres_programs"}, "cluster"),
    ({"browser"}, "browser"),
    ({"networks"}, "diffusion"),
    ({"weights"}, "diffusion"),
    ({"bench"}, "diffusion"),
    ({"plain"}, "diffusion"),
)

# What people upload: name -> how ffmpeg makes it from the example clip.
SOUND_FORMATS = {
    "clip.mp3": ["-c:a", "libmp3lame"],
    "clip.m4a": ["-c:a", "aac"],
    "clip.aac": ["-c:a", "aac"],
    "clip.ogg": ["-c:a", "libvorbis"],
    "clip.opus.ogg": ["-c:a", "libopus"],
    "clip.flac": ["-c:a", "flac"],
    "clip.webm": ["-c:a", "libopus"],
    "stereo.wav": ["-ac", "2"],
    "8000.wav": ["-ar", "8000"],
    "48000.wav": ["-ar", "48000"],
    "float.wav": ["-c:a", "pcm_f32le"],
}


@pytest.hookimpl(tryfirst=True)  # before those are left out that `-m` does not name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it needs."""
    for item in items:
        used = set(item.fixturenames) if isinstance(item, pytest.Function) else set()
        for fixtures, marker in NEEDS:
            if fixtures <= used:
                item.add_marker(marker)
        # A file that makes up weights by itself runs the network.
        if hasattr(getattr(item, "module", None), "Rules"):
            item.add_marker("diffusion")


@pytest.fixture(scope="session")
def run_service() -> Callable[..., AbstractContextManager[Service]]:
    """`tests.service.run_service`."""
    return services.run_service


@pytest.fixture(scope="session")
def run_launcher() -> Callable[..., AbstractContextManager[Service]]:
    """`tests.service.run_launcher`."""
    return services.run_launcher


@pytest.fixture(scope="session")
def run_process() -> Callable[..., AbstractContextManager[psutil.Popen]]:
    """`tests.service.started`, for what starts Ray."""
    return services.started


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., bytes]:
    """Runs ffmpeg, returns what it printed on stdout; a failure fails the test."""

    def run(*arguments: object) -> bytes:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


@pytest.fixture(scope="session")
def astronaut_image() -> Image.Image:
    """A woman looking into the camera, smiling; 512×512 (NASA, public domain)."""
    return Image.fromarray(astronaut())


@pytest.fixture(scope="session")
def nobody_image(astronaut_image: Image.Image) -> Image.Image:
    """A part of the same photo without a face."""
    return astronaut_image.crop((0, 330, 200, 510))


@pytest.fixture(scope="session")
def astronaut_file(astronaut_image: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portraits") / "astronaut.png"
    astronaut_image.save(path)
    return path


@pytest.fixture(scope="session")
def nobody_file(nobody_image: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portraits") / "nobody.png"
    nobody_image.save(path)
    return path


@pytest.fixture(scope="session")
def speech_file() -> Path:
    """Six and a half seconds of espeak-ng, mono, 22.05 kHz."""
    return SPEECH


@pytest.fixture(scope="session")
def sound_files(ffmpeg: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The first 1.5 s of the speech in every format of `SOUND_FORMATS`."""
    folder = tmp_path_factory.mktemp("sounds")
    for name, how in SOUND_FORMATS.items():
        ffmpeg("-i", SPEECH, "-t", 1.5, *how, folder / name)
    return {name: folder / name for name in SOUND_FORMATS}


@pytest.fixture(params=SOUND_FORMATS)
def sound_file(request: pytest.FixtureRequest, sound_files: dict[str, Path]) -> Path:
    """One after the other, the first 1.5 s of the speech in every format."""
    return sound_files[request.param]


@pytest.fixture(scope="session")
def late_sound(ffmpeg: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filmed clip whose sound begins 0.4 s after its picture."""
    path = tmp_path_factory.mktemp("videos") / "late.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=duration=2:size=64x64:rate=5"]
    ffmpeg(*picture, "-itsoffset", 0.4, "-i", SPEECH, "-t", 2, path)
    return path


@pytest.fixture(scope="session")
def silent_video(ffmpeg: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP4 with a picture and no sound."""
    path = tmp_path_factory.mktemp("videos") / "silent.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=1:size=64x64:rate=5", path)
    return path


@pytest.fixture(scope="session")
def decoded_frames(ffmpeg: Callable[..., bytes]) -> Callable[[Path, int, int], np.ndarray]:
    """Decodes all frames of a video: (path, width, height) -> uint8 [n, height, width, 3]."""

    def decode(path: Path, width: int, height: int) -> np.ndarray:
        # "passthrough": as many as there are, none repeated or dropped to keep a rate.
        pixels = ffmpeg(
            "-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"
        )
        return np.frombuffer(pixels, np.uint8).reshape(-1, height, width, 3)

    return decode


@pytest.fixture(scope="session")
def decoded_sound(ffmpeg: Callable[..., bytes]) -> Callable[..., np.ndarray]:
    """Decodes the sound of a file: (path, rate, channels) -> float [n, channels] within [-1, 1]."""

    def decode(path: Path, rate: int = 16_000, channels: int = 1) -> np.ndarray:
        samples = ffmpeg("-i", path, "-map", "0:a:0", "-ar", rate, "-ac", channels, "-f", "s16le", "pipe:1")
        return np.frombuffer(samples, "<i2").reshape(-1, channels) / 2**15

    return decode


@pytest.fixture(scope="session")
def stream_info() -> Callable[[Path], str]:
    """What ffmpeg prints about a file."""

    def info(path: Path) -> str:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", str(path)]
        return subprocess.run(command, capture_output=True, check=False).stderr.decode()

    return info


@pytest.fixture(scope="session")
def service(
    run_service: Callable[..., AbstractContextManager[Service]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service with the shipped configuration, shared by every test that leaves it in order."""
    with run_service(tmp_path_factory.mktemp("service"), max_upload_bytes=8 * 1024 * 1024) as running:
        yield running


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of one MiB."""
    if not hasattr(os, "getuid") or os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    # PostgreSQL, which is another user, must reach it.
    disk = Path(tempfile.mkdtemp(prefix="small-disk-", dir="/tmp"))
    disk.chmod(0o755)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False)
    if mounted.returncode != 0:
        disk.rmdir()
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)
    disk.rmdir()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium with a fresh profile that downloads to tmp_path."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Chromium and ChromeDriver are not installed (Debian: apt-get install chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    flags = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run")
    for flag in (*flags, f"user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder beside the checkout that only some checkouts have."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("there is no shared folder beside this checkout")
    return folder
