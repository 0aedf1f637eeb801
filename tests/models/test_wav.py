"""WAV files that go on behind their size are read to their end, without a click."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from models.wav import whole_wav
from tests.models.recordings import SAMPLE_RATE, codes, load, recording

UNKNOWN = 2**32 - 1


def plain(
    samples: bytes, *, rate: int = SAMPLE_RATE, bits: int = 16, size: int | None = None, after: bytes = b""
):
    """A mono WAV file that says that it has `size` bytes of samples."""
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * bits // 8, bits // 8, bits)
    size = len(samples) if size is None else size
    pad = b"\0" * (len(samples) % 2)
    chunks = (
        b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + samples + pad + after
    )
    return b"RIFF" + struct.pack("<I", min(len(chunks), UNKNOWN) if size < UNKNOWN else UNKNOWN) + chunks


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def front(file: bytes) -> bytes:
    """The same with room for more in front of its format, as recorders leave it."""
    return file[:12] + chunk(b"JUNK", bytes(28)) + file[12:]


SAMPLES = recording().tobytes()
THIRD = len(SAMPLES) // 6 * 2
PARTS = SAMPLES[:THIRD], SAMPLES[THIRD : 2 * THIRD], SAMPLES[2 * THIRD :]

GOES_ON = {
    "two files joined": plain(PARTS[0] + PARTS[1]) + plain(PARTS[2]),
    "three files joined": b"".join(plain(part) for part in PARTS),
    "three streamed files joined": b"".join(plain(part, size=UNKNOWN) for part in PARTS),
    "joined behind a size of nothing": plain(PARTS[0] + PARTS[1], size=0) + plain(PARTS[2], size=0),
    "joined with tags between": plain(PARTS[0], after=chunk(b"LIST", b"INFOx")) + plain(PARTS[1] + PARTS[2]),
    "a size that was never updated": plain(SAMPLES, size=20_000),
    "an odd size that was never updated": plain(SAMPLES, size=20_001),
    "behind a chunk in front": front(plain(PARTS[0])) + front(plain(PARTS[1] + PARTS[2], size=1000)),
    "a size of nothing": plain(SAMPLES, size=0),
    "a size without end": plain(SAMPLES, size=UNKNOWN),
}


@pytest.mark.parametrize("content", GOES_ON.values(), ids=GOES_ON.keys())
def test_all_of_it_is_read_and_nothing_else(content, tmp_path):
    (tmp_path / "upload.wav").write_bytes(content)
    speech = load(tmp_path / "upload.wav")

    assert np.array_equal(speech.samples, recording())
    assert codes(speech) == []


def test_headers_between_samples_of_three_bytes_do_not_shift_what_follows(tmp_path):
    wide = (recording().astype("<i4") << 8).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    parts = wide[:30_000], wide[30_000:30_300], wide[30_300:]
    (tmp_path / "upload.wav").write_bytes(b"".join(plain(part, bits=24) for part in parts))

    assert np.abs(load(tmp_path / "upload.wav").samples.astype(int) - recording()).max() <= 1


ENDS = {
    "nothing": plain(SAMPLES),
    "tags": plain(
        SAMPLES, after=chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0\0") + chunk(b"id3 ", b"ID3" + bytes(300))
    ),
    "a long tag": plain(SAMPLES, after=chunk(b"bext", bytes(9000))),
    "an ID3v1 tag": plain(SAMPLES, after=b"TAG" + b"x" * 125),
    "padding": plain(SAMPLES, after=bytes(4096)),
    "an odd number of bytes": plain(SAMPLES[:-1]),
}


@pytest.mark.parametrize("content", ENDS.values(), ids=ENDS.keys())
def test_what_is_no_sound_behind_the_samples_is_not_heard(content, tmp_path):
    (tmp_path / "upload.wav").write_bytes(content)
    with whole_wav(tmp_path / "upload.wav", tmp_path) as audio:
        assert audio.path == tmp_path / "upload.wav"
    speech = load(tmp_path / "upload.wav")

    assert len(recording()) - 1 <= len(speech.samples) <= len(recording())


@pytest.mark.parametrize(
    ("other", "seconds"),
    [
        (plain(SAMPLES, rate=8000), 3.6),
        (plain(SAMPLES, bits=8), 3.6),
        (plain(SAMPLES, rate=8000) + plain(SAMPLES, rate=32_000), 3.6 + 0.9),
    ],
    ids=["another rate", "other samples", "two other rates"],
)
def test_parts_in_another_format_are_left_out_and_told(other, seconds, tmp_path):
    (tmp_path / "upload.wav").write_bytes(plain(SAMPLES) + other)
    speech = load(tmp_path / "upload.wav")
    (notice,) = speech.notices

    assert np.array_equal(speech.samples, recording())
    assert notice.code == "audio_rest_unread"
    assert dict(notice.values)["seconds"] == pytest.approx(seconds)


def test_the_copy_exists_only_while_it_is_needed(tmp_path):
    (tmp_path / "upload.wav").write_bytes(GOES_ON["two files joined"])
    with whole_wav(tmp_path / "upload.wav", tmp_path) as audio:
        assert audio.path.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["upload.wav"]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"ID3" + bytes(100), plain(b"")])
def test_other_files_are_left_as_they_are(content, tmp_path):
    (tmp_path / "upload").write_bytes(content)
    with whole_wav(tmp_path / "upload", tmp_path) as audio:
        assert (audio.path, audio.notices) == (tmp_path / "upload", ())


def test_a_header_cut_in_two_is_no_part(tmp_path):
    (tmp_path / "upload.wav").write_bytes(plain(SAMPLES) + plain(SAMPLES)[:30])
    speech = load(tmp_path / "upload.wav")

    assert len(speech.samples) == pytest.approx(len(recording()), abs=20)
    assert replace(speech, notices=()).duration == speech.duration
