"""One run of ffmpeg, and how it may read a user's file. Knows nothing of frames or samples."""

import errno
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread
from typing import IO

from models.bounds import Bounded, Bounds, bounded
from models.notices import Notice

# Demuxers by ffmpeg's own names: WAV, AIFF, Core Audio, MP3, M4A and MP4, OGG, FLAC, WebM, ADTS AAC and AMR.
# None of them opens other files; this list keeps out playlists (concat, hls, dash), which do.
AUDIO_DEMUXERS = "wav,aiff,caf,mp3,mov,ogg,flac,matroska,aac,amr"

# Largest single allocation in bytes; a legitimate one is at most a packet.
MAX_ALLOCATION = 64 * 2**20

# A filter that ignores timestamps, used both for the engine's samples and for the video's sound, so that the
# n-th sample is the same moment in both.
FROM_ZERO = "asetpts=N/SR/TB"

# The C library's messages, with which ffmpeg says why it could not write.
DISK_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))

# glibc reserves 64 MiB of addresses for each thread that allocates, and addresses are what is limited.
# Measured: 0.25 GiB instead of 0.8 with two outputs.
_ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}

_PREFIX = re.compile(r"^(\[[^\]]*\] *)*(Error opening (input|output .*): )?")
# Lines that follow the one with the reason, and that name our files.
_CONSEQUENCE = re.compile(
    r"Error opening (input|output) file(s:| )|Error parsing options|Failed to set value|To ignore"
)
# Blocks that begin before others end are told about on every output, though none of ours needs their times.
_ORDERED = re.compile(r"Application provided invalid, non monotonically increasing|Last message repeated")
_LINES_KEPT = 100


def sound_input(path: Path) -> list[str]:
    """Arguments that read a user's file as sound, and no other file whatever its content says."""
    # Whatever can be decoded of a damaged file is used.
    return [
        # Every thread takes address space, which is limited, and ffmpeg starts one per core.
        "-threads",
        "1",
        "-max_alloc",
        str(MAX_ALLOCATION),
        "-max_error_rate",
        "1",
        # More channels than two without a layout are just channels, not the speakers that ffmpeg would guess.
        "-guess_layout_max",
        "2",
        "-protocol_whitelist",
        "file",
        "-format_whitelist",
        AUDIO_DEMUXERS,
        "-i",
        f"file:{path}",
    ]


@contextmanager
def run_ffmpeg(
    arguments: list[str],
    *,
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
    keep: Callable[[str], object] = bool,
) -> Iterator["Ffmpeg"]:
    """An ffmpeg that runs while in the context; leaving it ends ffmpeg, by force if need be.

    Args:
        arguments: what follows the program's name.
        stdin: `subprocess.PIPE` to write to `Ffmpeg.stdin`; by default there is nothing to read.
        stdout: `subprocess.PIPE` to read from `Ffmpeg.stdout`; by default the output is dropped.
        keep: which of its messages to keep; by default all.
    """
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-v", "error", *arguments]
    environment = {**os.environ, **_ONE_ARENA}
    ffmpeg = Ffmpeg(Popen(command, stdin=stdin, stdout=stdout, stderr=PIPE, env=environment), keep)
    try:
        yield ffmpeg
    finally:
        ffmpeg.end()


class Ffmpeg:
    """A running ffmpeg, its pipes and its messages."""

    def __init__(self, process: "Popen[bytes]", keep: Callable[[str], object]):
        self._process = process
        self._keep = keep
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        # Read while it runs: ffmpeg blocks when its stderr is full.
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def stdin(self) -> IO[bytes]:
        """What ffmpeg reads as pipe:0; writing fails with an OSError once ffmpeg is gone."""
        assert self._process.stdin is not None, "started without a pipe to write to"
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """What ffmpeg writes to pipe:1."""
        assert self._process.stdout is not None, "started without a pipe to read from"
        return self._process.stdout

    def bounded(self, bounds: Bounds) -> AbstractContextManager[Bounded]:
        """Apply bounds while in the context; leaving it ends ffmpeg."""
        return bounded(self._process, bounds)

    def end(self) -> None:
        """Kill it if it still runs."""
        self._process.kill()
        self.wait()

    def wait(self) -> int:
        """Close the pipes, wait for the end, return the exit code (negative: killed by that signal)."""
        for pipe in (self._process.stdin, self._process.stdout):
            _close(pipe)
        code = self._process.wait()
        self._listener.join()
        return code

    @property
    def lines(self) -> list[str]:
        """The last of the messages that were kept, without their prefixes."""
        return list(self._lines)

    @property
    def words(self) -> str:
        """The reason that ffmpeg gave, without its line prefix; "" if it gave none."""
        return next((line for line in self._lines if not _CONSEQUENCE.match(line)), "")

    def complaint(self, code: int) -> str | Notice | None:
        """Why it ended with this exit code, in ffmpeg's own words if there are any; None if all went well."""
        return self.words or (Notice.of("ffmpeg_ended", exit_code=code) if code else None)

    def said(self, *parts: str) -> str:
        """The first line that contains one of these parts; "" if none does."""
        return next((line for line in self._lines if any(part in line for part in parts)), "")

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                message = _PREFIX.sub("", line.decode(errors="replace")).strip()
                if self._keep(message) and not _ORDERED.match(message):
                    self._lines.append(message)


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        pass  # data was still buffered for an ffmpeg that is gone; its exit code says why
