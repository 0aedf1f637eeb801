"""Which of the audio tracks in a file is heard. Knows nothing of samples."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.bounds import Bounds
from models.ffmpeg import run_ffmpeg, sound_input
from models.notices import Notice

# What ffmpeg prints of a stream: "Stream #0:1(eng): Audio: aac (LC), 48000 Hz, stereo, fltp (default)".
_LINE = re.compile(r"Stream #0:\d+[^ ]*: Audio: (?P<codec>\w+)(.* Hz, (?P<layout>[^,]+))?")
_DEFAULT = re.compile(r" \(default\)")
# Channels that are only counted, or that are not loudspeakers.
_NO_LAYOUT = re.compile(r"channels|ambisonic")


@dataclass(frozen=True)
class Track:
    """One audio track.

    Attributes:
        index: among the audio tracks, from 0.
        count: how many audio tracks the file has.
        mono: whether it has a single channel; others have to be mixed.
        layout: the name of its channels' layout; "" if nothing says which loudspeaker each is for.
    """

    index: int = 0
    count: int = 1
    mono: bool = True
    layout: str = "mono"

    def notices(self) -> Iterator[Notice]:
        """What the user should know about the choice."""
        if self.count > 1:
            yield Notice.of("audio_tracks", count=self.count, number=self.index + 1)


def choose_track(path: Path, bounds: Bounds) -> Track:
    """The track that a player would play: the first with the default flag, else the first.

    Tracks of a kind that ffmpeg does not know come last. Of a file that cannot be read, it is the first
    track of one; whoever decodes it will find out what is wrong.
    """
    lines = list(_described(path, bounds))

    def rank(index: int) -> tuple[bool, bool]:
        return lines[index]["codec"] == "none", not _DEFAULT.search(lines[index].string)

    if not lines:
        return Track()
    chosen = min(range(len(lines)), key=rank)
    layout = (lines[chosen]["layout"] or "mono").strip()
    return Track(
        chosen,
        len(lines),
        mono=layout in ("mono", "1 channels"),
        layout="" if _NO_LAYOUT.search(layout) else layout,
    )


def _described(path: Path, bounds: Bounds) -> Iterator["re.Match[str]"]:
    # Without an output, ffmpeg describes the input and ends.
    arguments = ["-v", "info", *sound_input(path)]
    with run_ffmpeg(arguments, keep=_LINE.match) as ffmpeg, ffmpeg.bounded(bounds):
        ffmpeg.wait()
        for line in ffmpeg.lines:
            if found := _LINE.match(line):
                yield found
