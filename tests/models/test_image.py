import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from models.bounds import Bounds
from models.errors import ImageError
from models.image import BOUNDS, check_image, load_image


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is not an image", "cannot be read as an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot be read as an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "cannot be read as an image"),
        (png_header(8001, 8000), "8001×8000 pixels, 64 megapixels"),
        (png_header(10_000, 10_000), "too large"),
        (png_header(60_000, 60_000), "too large"),
        (png_header(64, 64), "damaged"),
    ],
)
@pytest.mark.parametrize("read", [check_image, load_image])
def test_refuses_what_is_no_usable_image(read, content, reason, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(content)

    with pytest.raises(ImageError, match=reason) as refusal:
        read(path)
    assert refusal.value.field == "reference_image"
    assert "JPEG, PNG, WebP" in refusal.value.allowed


def test_sixty_four_megapixels_are_allowed(tmp_path):
    path = saved(Image.new("L", (8000, 8000)), tmp_path / "large.png")

    check_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif"])
def test_refuses_a_file_that_ends_early(suffix, astronaut_image, tmp_path):
    path = saved(astronaut_image, tmp_path / f"whole{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(ImageError, match="damaged"):
        check_image(path)


def test_refuses_thirty_two_bits_a_channel(tmp_path):
    path = saved(Image.new("F", (64, 64)), tmp_path / "scientific.tiff")

    with pytest.raises(ImageError, match="32 bits per channel"):
        check_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif"])
def test_decodes_every_promised_format_to_rgb(suffix, astronaut_image, tmp_path):
    path = saved(astronaut_image.crop((0, 0, 301, 203)), tmp_path / f"image{suffix}")
    check_image(path)
    image = load_image(path)

    assert (image.mode, image.size) == ("RGB", (301, 203))


@pytest.mark.parametrize("read", [check_image, load_image])
@pytest.mark.parametrize(
    "bounds", [replace(BOUNDS, cpu_seconds=1), replace(BOUNDS, seconds=0.01)], ids=["cpu", "time"]
)
def test_an_image_that_takes_too_long_is_refused(read, bounds, scan_bomb, tmp_path, monkeypatch):
    monkeypatch.setattr("models.image.BOUNDS", bounds)

    with pytest.raises(ImageError, match="takes too long"):
        read(scan_bomb)


def test_an_image_that_takes_too_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("models.image.BOUNDS", replace(BOUNDS, memory=200 * 2**20))
    path = saved(Image.new("RGB", (7000, 7000)), tmp_path / "large.png")

    with pytest.raises(ImageError, match="too much memory"):
        load_image(path)


def test_an_image_that_ends_its_decoder_is_refused(astronaut_file, monkeypatch):
    too_little_to_start = Bounds(memory=2**20, cpu_seconds=20, seconds=60)
    monkeypatch.setattr("models.image.BOUNDS", too_little_to_start)

    with pytest.raises(ImageError, match="crashed the decoder"):
        check_image(astronaut_file)


def test_checking_costs_this_process_no_memory_and_leaves_no_process(tmp_path):
    path = saved(Image.new("RGB", (8000, 8000)), tmp_path / "large.png")
    here = psutil.Process()
    before = here.memory_info().rss
    check_image(path)

    assert here.memory_info().rss - before < 20 * 2**20  # decoded, it is 183 MiB
    assert not any("image_decoder" in " ".join(child.cmdline()) for child in here.children())


@pytest.fixture(scope="module")
def scan_bomb(tmp_path_factory):
    """A progressive JPEG that repeats its last scan, of a few hundred bytes, thousands of times."""
    path = tmp_path_factory.mktemp("bombs") / "scans.jpg"
    Image.new("L", (4000, 4000)).save(path, progressive=True)
    content = path.read_bytes()
    last_scan = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + last_scan * 2000 + content[-2:])
    return path
