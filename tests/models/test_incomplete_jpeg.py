"""JPEGs that end early: used if only their last bytes are missing, and refused if more is."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ImageError
from models.image_decoder import decode
from models.incomplete_jpeg import incomplete_jpeg

KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "full colour": {"subsampling": 0},
    "progressive, full colour": {"progressive": True, "subsampling": 0},
    "with restarts": {"restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "progressive, grey": {"mode": "L", "progressive": True},
    "inks": {"mode": "CMYK"},
}
END = 2  # bytes of the marker at the end


def jpeg(image: Image.Image, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    image.convert(mode).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def written(content: bytes, folder: Path) -> Path:
    path = folder / "photo.jpg"
    path.write_bytes(content)
    return path


@pytest.fixture(params=KINDS)
def whole(request, astronaut_image):
    return jpeg(astronaut_image, **KINDS[request.param])


@pytest.mark.parametrize("missing", [1, 2, 10])
def test_without_its_last_bytes_it_is_used_and_said_to_be_incomplete(missing, whole, tmp_path):
    complete, nothing = decode(written(whole, tmp_path), draft=False)
    path = written(whole[:-missing], tmp_path)
    _, checked = decode(path, draft=True)
    image, notices = decode(path, draft=False)

    assert (nothing, checked) == ([], notices)
    assert [notice.code for notice in notices] == ["image_incomplete"]
    assert float(str(dict(notices[0].values)["percent"])) > (99.9 if missing <= END else 99)
    assert image.size == complete.size
    assert (np.asarray(image) != np.asarray(complete)).any(axis=2).mean() < 0.003


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_without_half_of_it_it_is_refused(share, whole, tmp_path):
    path = written(whole[: round(share * len(whole))], tmp_path)

    for draft in (True, False):
        with pytest.raises(ImageError, match="damaged: image file is truncated"):
            decode(path, draft=draft)


@pytest.mark.parametrize("share", [0.97, 0.9, 0.8, 0.6, 0.4, 0.2])
def test_how_much_of_the_picture_is_there_is_seen_from_what_more_data_would_change(share, astronaut_image):
    whole = jpeg(astronaut_image)
    header = whole.index(b"\xff\xda")
    part = incomplete_jpeg(whole[: header + round(share * (len(whole) - header))])
    with Image.open(io.BytesIO(part.content)) as left, Image.open(io.BytesIO(whole)) as complete:
        same = (np.asarray(left) == np.asarray(complete)).all(axis=2).all(axis=1)

    assert same.argmin() / len(same) == pytest.approx(part.share, abs=0.04)


def test_a_plain_picture_is_not_taken_for_a_missing_one():
    """A grey area looks like one that is missing."""
    whole = jpeg(Image.new("RGB", (256, 256), (128, 128, 128)))

    assert incomplete_jpeg(whole[:-1]).share == 1
    assert incomplete_jpeg(whole[: whole.index(b"\xff\xda") + 60]).share < 0.9


def test_a_progressive_one_that_lacks_a_whole_pass_is_not_there(astronaut_image):
    whole = jpeg(astronaut_image, progressive=True)
    last_pass = whole.rindex(b"\xff\xda")

    assert incomplete_jpeg(whole[: last_pass - 20]).share == 0
    assert incomplete_jpeg(whole[:last_pass]).share == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xd8", b"\xff\xd8" * 100, b"\x89PNG", bytes(100)],
    ids=["nothing", "start", "starts", "PNG", "zeros"],
)
def test_what_shows_nothing_is_no_incomplete_jpeg(content):
    assert incomplete_jpeg(content) is None


def test_a_complete_one_is_not_incomplete_whatever_follows(astronaut_image):
    whole = jpeg(astronaut_image)

    assert incomplete_jpeg(whole) is None
    assert incomplete_jpeg(whole + b"something else") is None


@pytest.mark.parametrize("cut", range(20, 700, 17))
def test_one_cut_in_its_headers_is_refused_in_words(cut, astronaut_image, tmp_path):
    whole = jpeg(astronaut_image.resize((64, 64)))

    assert (part := incomplete_jpeg(whole[:cut])) is None or part.share < 0.9
