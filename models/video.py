"""From frames and the uploaded sound to an MP4, encoded once, while the frames are made.

Knows nothing of engines or faces.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import numpy as np

from models.bounds import Bounds
from models.errors import DiskFull, EncodingError, GenerationError
from models.ffmpeg import DISK_FULL, Ffmpeg, run_ffmpeg
from models.frame_rate import FrameRate
from models.label import Label
from models.provenance import UNKNOWN, Provenance
from models.sound import TO_AAC, Sound, Source, video_source
from models.yuv import to_yuv420p

# At CRF 18 the loss is hard to see; a fast preset leaves the cores to the engine. The preset lacks lookahead,
# with which a file is a third as large if most of the picture stays still. The next slower preset takes 1.5
# times as long and saves a fifth. Each key frame redraws the still background a little differently, which is
# visible as a jump, so there are few of them.
LOOKAHEAD = ["-mbtree", "1", "-rc-lookahead", "10"]
# As many as x264 uses on two cores, on any machine: each needs memory, which is limited.
THREADS = ["-threads", "3"]
X264 = ["-c:v", "libx264", "-preset", "superfast", *LOOKAHEAD, "-crf", "18", "-g", "600", *THREADS]
# The colour space that `to_yuv420p` produces; if it is not stated, players guess it from the picture's size.
BT709 = "setparams=colorspace=bt709:range=tv:color_primaries=bt709:color_trc=bt709"
# At this bit rate the fast coder preserves speech better than the default one, in half the time.
AAC = ["-c:a", "aac", "-aac_coder", "fast", "-b:a", "192k"]

# The encoder also decodes the user's sound. Measured: 1.05 GiB for noise at 1024 × 1024, the largest frame
# size. There is no time limit, because it takes as long as the engine; if it hangs, the task makes no
# progress, which is noticed.
ENCODE_BOUNDS = Bounds(memory=2 * 2**30)
# Where the sound is decoded before; see `models.speech.LOAD_BOUNDS`.
SOURCE_BOUNDS = Bounds(memory=2**30, cpu_seconds=240, seconds=240)


@dataclass(frozen=True)
class VideoFormat:
    """What the video will be: sides in pixels (even), frames per second, number of frames."""

    width: int
    height: int
    fps: FrameRate
    frame_count: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.frame_count / self.fps)


@contextmanager
def open_video(
    path: Path,
    video: VideoFormat,
    sound: Sound,
    engine: str,
    provenance: Provenance = UNKNOWN,
    label: Label | None = None,
) -> Iterator["VideoWriter"]:
    """A video to write frames to; after the context it is complete, or there is no file at all.

    Args:
        path: where to write it; the name may have any suffix.
        video: the format; exactly `frame_count` frames must be written.
        sound: what is heard from its start to the end of the video, then silence.
        engine: named in the video's metadata, which says that it is AI-generated.
        provenance: what else the metadata says.
        label: drawn into the frames; None leaves them as they are.

    Raises:
        EncodingError: ffmpeg failed, was killed or exceeded `ENCODE_BOUNDS`, or the number of frames written
            is not `frame_count`.
        DiskFull, OSError: there is no room for the video, or for its sound, which may be kept beside it.
    """
    try:
        metadata = provenance.metadata(engine)
        with (
            video_source(sound, video.seconds, path.parent, SOURCE_BOUNDS) as source,
            run_ffmpeg(_arguments(path, video, source, metadata), stdin=PIPE) as ffmpeg,
            ffmpeg.bounded(ENCODE_BOUNDS),
        ):
            writer = VideoWriter(ffmpeg, video, label)
            yield writer
            writer.finish()
        _check_file(path, video)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class VideoWriter:
    """Passes frames to ffmpeg; made by `open_video`."""

    def __init__(self, ffmpeg: Ffmpeg, video: VideoFormat, label: Label | None):
        self._ffmpeg = ffmpeg
        self._video = video
        self._label = label
        self._written = 0

    def write(self, frames: np.ndarray) -> None:
        """Append frames, uint8 RGB [n, height, width, 3].

        Raises:
            EncodingError: ffmpeg has ended, or there are more frames than `frame_count`.
            DiskFull: ffmpeg has ended because there is no room.
        """
        if frames.dtype != np.uint8 or frames.shape[1:] != (self._video.height, self._video.width, 3):
            raise ValueError(f"frames {frames.dtype} {frames.shape} do not fit {self._video}")
        first = self._written
        self._written += len(frames)
        if self._written > self._video.frame_count:
            self._fail_on_count()
        try:
            for index, frame in enumerate(frames, first):
                picture = to_yuv420p(frame)
                if self._label:
                    self._label.draw(picture, index)
                self._ffmpeg.stdin.write(picture.data)
        except OSError as error:
            raise self._failure() from error

    def finish(self) -> None:
        """Wait until ffmpeg has completed the file; raises EncodingError if it fails or lacks frames."""
        if self._written != self._video.frame_count:
            self._fail_on_count()
        if code := self._ffmpeg.wait():
            raise self._failure(code)

    def _fail_on_count(self) -> None:
        raise EncodingError("frame_count_wrong", promised=self._video.frame_count, count=self._written)

    def _failure(self, code: int | None = None) -> GenerationError:
        code = code or self._ffmpeg.wait()
        # ffmpeg's first message may be about the sound that it reads.
        if full := self._ffmpeg.said(*DISK_FULL):
            return DiskFull("disk_full", reason=full)
        return EncodingError("encoding_failed", reason=self._ffmpeg.complaint(code) or "")


def _arguments(path: Path, video: VideoFormat, source: Source, metadata: Mapping[str, str]) -> list[str]:
    frames = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{video.width}x{video.height}"]
    frames += ["-framerate", str(video.fps), "-i", "pipe:0"]
    audio_filters = f"{source.filters},{TO_AAC},apad,atrim=end={video.seconds:.6f}"
    streams = ["-map", "0:v:0", "-vf", BT709, "-map", f"1:a:{source.track}", "-af", audio_filters]
    # The upload's own metadata is left out: phones record where they were.
    tags = ["-map_metadata", "-1", "-map_chapters", "-1"]
    for name, value in metadata.items():
        tags += ["-metadata", f"{name}={value}"]
    # Of names that iTunes does not know, such as AIGC, ffmpeg keeps only those written as QuickTime metadata.
    file = ["-movflags", "+faststart+use_metadata_tags", "-f", "mp4", "-y", f"file:{path}"]
    return ["-filter_threads", "1", *frames, *source.arguments, *streams, *X264, *AAC, *tags, *file]


def _check_file(path: Path, video: VideoFormat) -> None:
    """Read the whole file, without decoding it, and count its frames."""
    counted = ["-map", "0:v:0", "-c", "copy", "-f", "null", "-progress", "pipe:1", "-"]
    with run_ffmpeg(["-i", f"file:{path}", *counted], stdout=PIPE) as ffmpeg:
        counts = re.findall(rb"^frame=(\d+)$", ffmpeg.stdout.read(), re.MULTILINE)
        if ffmpeg.wait() or not counts:
            raise EncodingError("video_unreadable", reason=ffmpeg.words)
    if int(counts[-1]) != video.frame_count:
        raise EncodingError("frames_lost", written=video.frame_count, count=int(counts[-1]))
