"""One run of ffmpeg, and how it may read what a user sent. Knows nothing of frames or samples."""

import re
import subprocess
from collections import deque
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO

# Demuxers by ffmpeg's own names: WAV, AIFF, Core Audio, MP3, M4A and MP4, OGG, FLAC, WebM, ADTS AAC and AMR. None
# of them opens other files; playlists (concat, hls, dash, ...), which do, are what this list keeps out.
AUDIO_DEMUXERS = "wav,aiff,caf,mp3,mov,ogg,flac,matroska,aac,amr"

_PREFIX = re.compile(r"^(\[[^\]]*\] *)*(Error opening input: )?")
# Said besides the line that has the reason, and naming our files.
_CONSEQUENCE = re.compile(
    r"Error opening (input|output) files?\b|Error parsing options|Failed to set value|To ignore"
)
_LINES_KEPT = 20


def sound_input(path: Path) -> list[str]:
    """Arguments that read the first audio stream of a user's file, and no other file whatever it says."""
    return ["-protocol_whitelist", "file", "-format_whitelist", AUDIO_DEMUXERS, "-i", f"file:{path}"]


class Ffmpeg:
    """A running ffmpeg; leaving the context ends it, by force if it still runs.

    Args:
        arguments: what follows the program's name.
        stdin: `subprocess.PIPE` to write to `stdin`, else nothing to read.
        stdout: `subprocess.PIPE` to read from `stdout`, else dropped.
    """

    def __init__(
        self, arguments: list[str], *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ):
        import imageio_ffmpeg

        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-v", "error", *arguments]
        self._process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        # Read while it runs: an ffmpeg whose stderr is full stands still.
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> "Ffmpeg":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None, "started without a pipe to write to"
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None, "started without a pipe to read from"
        return self._process.stdout

    def wait(self) -> int:
        """Close the pipes, wait for the end, return the exit code (negative: killed by that signal)."""
        for pipe in (self._process.stdin, self._process.stdout):
            _close(pipe)
        code = self._process.wait()
        self._listener.join()
        return code

    @property
    def words(self) -> str:
        """The reason ffmpeg gave, without its line prefix; "" when it said nothing."""
        reasons = [line for line in self._lines if not _CONSEQUENCE.match(line)]
        return reasons[0] if reasons else ""

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                self._lines.append(_PREFIX.sub("", line.decode(errors="replace")).strip())


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except BrokenPipeError:
        pass  # what was still buffered for an ffmpeg that is gone; its exit code tells
