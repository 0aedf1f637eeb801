"""WAV files that go on where their header says that they end.

Recorders that crashed and programs that stream leave a size that was never updated; others write one file
behind the other. Readers stop at the size, or hear the next header as a click.
"""

import itertools
import mmap
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, NamedTuple

from models.notices import Notice

# https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html
_START = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
_MOST_PARTS = 10_000
_CHUNK = struct.Struct("<4sI")
_RATES = struct.Struct("<8xIH2x")  # of a format chunk: bytes a second, and bytes that belong together
# What follows the samples and is shorter than this is padding or a tag.
_IGNORED_SECONDS = 0.02
_LARGEST_SIZE = 2**32 - 1
_COPIED_AT_ONCE = 2**20


@dataclass(frozen=True)
class _Part:
    """One of the WAV files in a file: its format chunk, where its samples lie, and whether it says so."""

    format: bytes
    begin: int
    end: int
    says_so: bool

    @property
    def size(self) -> int:
        """In bytes; what is left of a broken sample at the end does not count."""
        _, block = _RATES.unpack_from(self.format)
        size = self.end - self.begin
        return int(size - size % max(block, 1))

    @property
    def seconds(self) -> float:
        byte_rate, _ = _RATES.unpack_from(self.format)
        return float(self.size / max(byte_rate, 1))


class WholeWav(NamedTuple):
    """A file that readers read to its end, and what the user should know about it."""

    path: Path
    notices: tuple[Notice, ...] = ()


@contextmanager
def whole_wav(path: Path, folder: Path) -> Iterator[WholeWav]:
    """A file with all samples of a WAV file.

    It is the file itself, also where that is no WAV file, unless a reader would stop early or hear a header:
    then it is a copy that exists while in the context. Parts whose format differs from the first one's cannot
    be joined to it and are left out.

    Args:
        path: the uploaded file.
        folder: where to put the copy.

    Raises:
        OSError: there is no room for the copy.
    """
    parts = _parts(path)
    if len(parts) <= 1 and all(part.says_so for part in parts):
        yield WholeWav(path)
        return
    fitting = [part for part in parts if part.format == parts[0].format]
    left_out = sum(part.seconds for part in parts if part.format != parts[0].format)
    notices = (Notice.of("audio_rest_unread", seconds=left_out),) if left_out else ()
    with NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as copy:
        try:
            with path.open("rb") as file:
                _join(file, fitting, copy)
            copy.close()
            yield WholeWav(Path(copy.name), notices)
        finally:
            copy.close()
            Path(copy.name).unlink()


def _parts(path: Path) -> list[_Part]:
    with path.open("rb") as file:
        if not _START.match(file.read(12)):
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = itertools.islice(_START.finditer(content), _MOST_PARTS)
            starts = [start.start() for start in found]
            ends = [*starts[1:], len(content)]
            parts = (_part(content, *bounds) for bounds in zip(starts, ends, strict=True))
            return [part for part in parts if part]


def _part(content: mmap.mmap, start: int, end: int) -> _Part | None:
    """Where the samples of the WAV file between these positions lie; None without a format or samples."""
    form = b""
    for kind, begin, stop in _chunks(content, start + 12, end):
        if kind == b"fmt ":
            form = content[begin : min(stop, end)]
        if kind == b"data" and len(form) >= _RATES.size:
            size = stop - begin
            if size in (0, _LARGEST_SIZE) or stop >= end:
                return _Part(form, begin, end, says_so=True)
            if _is_no_sound(content, stop + size % 2, end, form):
                return _Part(form, begin, stop, says_so=True)
            return _Part(form, begin, end, says_so=False)
    return None


def _chunks(content: mmap.mmap, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name, and where its content begins and should end."""
    while position + _CHUNK.size <= end:
        kind, size = _CHUNK.unpack_from(content, position)
        position += _CHUNK.size
        yield kind, position, position + size
        position += size + size % 2


def _is_no_sound(content: mmap.mmap, position: int, end: int, form: bytes) -> bool:
    """Whether what follows the samples is further chunks, a tag or padding."""
    byte_rate, _ = _RATES.unpack_from(form)
    if end - position < _IGNORED_SECONDS * byte_rate or not content[position:end].strip(b"\0"):
        return True
    return all(
        kind.isascii() and kind.decode().isprintable() for kind, _, _ in _chunks(content, position, end)
    )


def _join(file: IO[bytes], parts: list[_Part], copy: IO[bytes]) -> None:
    size = sum(part.size for part in parts)
    form = parts[0].format
    chunks = [_CHUNK.pack(b"fmt ", len(form)), form, bytes(len(form) % 2), _CHUNK.pack(b"data", size)]
    header = b"".join([b"WAVE", *chunks])
    copy.write(_CHUNK.pack(b"RIFF", len(header) + size) + header)
    for part in parts:
        file.seek(part.begin)
        for position in range(0, part.size, _COPIED_AT_ONCE):
            copy.write(file.read(min(_COPIED_AT_ONCE, part.size - position)))
