import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from models.bounds import Bounds
from models.errors import ImageError
from models.image import BOUNDS, check_image, load_image
from tests.fuzz.images import portrait
from tests.heif import QUARTER_TURN, SAMPLE, with_property


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


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".bmp", ".tiff", ".gif"])
def test_decodes_every_promised_format_to_rgb(suffix, astronaut_image, tmp_path):
    path = saved(astronaut_image.crop((0, 0, 301, 203)), tmp_path / f"image{suffix}")
    check_image(path)
    photo = load_image(path)

    assert (photo.image.mode, photo.image.size, photo.notices) == ("RGB", (301, 203), ())


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "photo"
    path.write_bytes(content)
    return path


def difference(image: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(image).astype(int) - np.asarray(other)).mean())


@pytest.mark.parametrize(
    ("mirror", "expected"),
    [
        (None, None),
        (b"\0", Image.Transpose.FLIP_TOP_BOTTOM),
        (b"\1", Image.Transpose.FLIP_LEFT_RIGHT),
    ],
)
def test_a_heic_is_turned_and_mirrored_once(mirror, expected, small_portrait, tmp_path):
    content = with_property(SAMPLE, *QUARTER_TURN)
    path = written(tmp_path, with_property(content, b"imir", mirror) if mirror else content)
    check_image(path)
    image = load_image(path).image

    assert difference(image, small_portrait if expected is None else small_portrait.transpose(expected)) < 4


def test_the_exif_of_a_heic_does_not_turn_it(small_portrait, tmp_path):
    """Its own properties do; the EXIF says how the picture was before."""
    lying = small_portrait.transpose(Image.Transpose.ROTATE_90)

    assert difference(load_image(written(tmp_path, SAMPLE)).image, lying) < 4


def test_a_heic_is_known_by_its_content_whichever_brand_comes_first(small_portrait, tmp_path):
    content = SAMPLE.replace(b"ftypheic", b"ftypmif1")

    assert load_image(written(tmp_path, content)).image.size == small_portrait.size


def test_reads_what_heif_enc_makes(astronaut_image, tmp_path):
    if not shutil.which("heif-enc"):
        pytest.skip("heif-enc is not installed (Debian: apt-get install libheif-examples)")
    source, path = saved(astronaut_image, tmp_path / "photo.png"), tmp_path / "photo.heic"
    subprocess.run(["heif-enc", "-q", "90", source, "-o", path], check=True, capture_output=True)
    check_image(path)

    assert difference(load_image(path).image, astronaut_image) < 4


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_270),
    ],
)
def test_an_avif_is_turned_once(orientation, expected, small_portrait, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation  # Pillow writes it as the properties of the AVIF, too
    path = saved(small_portrait, tmp_path / "photo.avif", exif=exif, quality=90)

    image = load_image(path).image
    assert difference(image, small_portrait if expected is None else small_portrait.transpose(expected)) < 4


def test_grey_and_transparent_avifs_are_read(small_portrait, tmp_path):
    grey = small_portrait.convert("L")
    cut_out = small_portrait.convert("RGBA")
    cut_out.paste((0, 0, 0, 0), (0, 0, 192, 30))

    image = load_image(saved(grey, tmp_path / "grey.avif", quality=90)).image
    assert difference(image, grey.convert("RGB")) < 4
    image = load_image(saved(cut_out, tmp_path / "cut-out.avif", quality=90)).image
    assert np.asarray(image)[:26].min() > 250


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_refuses_an_avif_or_a_heic_that_ends_early(share, small_portrait, tmp_path):
    avif = saved(small_portrait, tmp_path / "photo.avif").read_bytes()
    for content in (avif, SAMPLE):
        with pytest.raises(ImageError, match=r"damaged|cannot be read as an image"):
            check_image(written(tmp_path, content[: round(share * len(content))]))


def test_a_film_in_the_same_kind_of_file_is_no_image(late_sound):
    with pytest.raises(ImageError, match="cannot be read as an image") as refusal:
        check_image(late_sound)
    assert "HEIC, AVIF" in refusal.value.allowed


@pytest.fixture
def small_portrait():
    return portrait()


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
