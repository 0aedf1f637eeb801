"""What was decided about an upload: how its sound is heard, by the engine and in the video alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from tempfile import NamedTemporaryFile
from typing import IO, NamedTuple

from models.bounds import Bounds
from models.ffmpeg import FROM_ZERO, run_ffmpeg, sound_input
from models.timeline import MOST_DRIFT, Timeline

# AAC's rates up to the highest that phones and browsers play.
_RATES = "8000|11025|12000|16000|22050|24000|32000|44100|48000"
# Whole numbers on the way, because the AAC encoder fails on a NaN. In the encoder's own format at the end: if
# ffmpeg has to convert what follows, it also picks another rate.
TO_AAC = f"aformat=sample_fmts=s32:channel_layouts=mono|stereo,aformat=sample_fmts=fltp:sample_rates={_RATES}"

_SAMPLE_BYTES = 4
_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Sound:
    """How an upload is heard.

    Attributes:
        path: the file.
        track: which of its audio tracks, from 0.
        mix: a filter of ffmpeg that leaves one channel; "" for the mix that belongs to the channels' layout.
        timeline: when its samples are heard.
    """

    path: Path
    track: int = 0
    mix: str = ""
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def filters(self) -> str:
        """What comes first in every chain of filters."""
        return ",".join(filter(None, (FROM_ZERO, self.mix)))


class Source(NamedTuple):
    """An input of ffmpeg for a video: arguments that open it, its audio track, the first filters."""

    arguments: list[str]
    track: int
    filters: str


@contextmanager
def video_source(sound: Sound, seconds: float, folder: Path, bounds: Bounds) -> Iterator[Source]:
    """The beginning of a sound, as a video needs it.

    It is the upload itself, unless its timeline has edits, which no filter of ffmpeg could make: then it is a
    file that exists while in the context.

    Args:
        sound: what is heard.
        seconds: how much of it at least, if it is as long.
        folder: where to put the file, 23 MB a minute of stereo at 48 kHz.
        bounds: of the ffmpeg that decodes.

    Raises:
        OSError: there is no room for the file.
    """
    if not sound.timeline.edits:
        yield Source(sound_input(sound.path), sound.track, sound.filters)
        return
    with NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
        path = Path(file.name)
        try:
            _lay_out(sound, seconds, file, bounds)
            file.close()
            yield Source(["-f", "au", "-i", f"file:{path}"], 0, FROM_ZERO)
        finally:
            file.close()
            path.unlink()


class AuHeader(NamedTuple):
    """What precedes the samples in an AU file: the format for pipes, with two numbers that matter."""

    content: bytes
    rate: int
    channels: int

    @classmethod
    def read(cls, stream: IO[bytes]) -> "AuHeader | None":
        """Read one; None if the stream ends before (https://pubs.opengroup.org/external/auformat.html)."""
        start = stream.read(24)
        if len(start) < 24:
            return None
        offset, _, _, rate, channels = (int.from_bytes(start[at : at + 4], "big") for at in range(4, 24, 4))
        return cls(start + stream.read(offset - 24), rate, channels)


def _lay_out(sound: Sound, seconds: float, file: IO[bytes], bounds: Bounds) -> None:
    decoded = str(seconds * (1 + MOST_DRIFT) + 1)  # some may be left out
    arguments = ["-filter_threads", "1", *sound_input(sound.path), "-map", f"0:a:{sound.track}"]
    arguments += ["-af", f"{sound.filters},{TO_AAC}", "-t", decoded]
    arguments += ["-c:a", "pcm_s32be", "-f", "au", "pipe:1"]
    with run_ffmpeg(arguments, stdout=PIPE) as ffmpeg, ffmpeg.bounded(bounds):
        if header := AuHeader.read(ffmpeg.stdout):
            width = _SAMPLE_BYTES * header.channels
            end = len(header.content) + round(seconds * header.rate + 1) * width
            blocks = iter(lambda: ffmpeg.stdout.read(_BLOCK_BYTES), b"")
            file.write(header.content)
            for block in sound.timeline.laid_out(blocks, header.rate, width):
                file.write(block[: end - file.tell()])
                if file.tell() >= end:
                    break
