"""Every file of the corpus, read as the service reads it: refused in words, or used; nothing else happens."""

import socket
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from models.errors import InputError
from models.frame_rate import frames_covering
from models.image import BOUNDS, check_image
from models.params import LIMITS, GenerationParams
from models.portrait import load_portrait
from models.speech import check_audio, load_speech
from models.timeline import LONGEST_HOLE
from tests.fuzz import images, sounds
from tests.fuzz.hostile import Expected, HostileFile
from tests.fuzz.images import hostile_images_of
from tests.fuzz.sounds import hostile_sounds_of

PARAMS = GenerationParams(width=128, height=128)


@pytest.fixture(autouse=True)
def _short_of_time(monkeypatch):
    """One image is there to take all the time it gets; the slowest honest one takes 4 s."""
    monkeypatch.setattr("models.image.BOUNDS", replace(BOUNDS, cpu_seconds=8))


def shows_a_face(path: Path) -> bool:
    return load_portrait(path, PARAMS).landmarks is not None


def is_long_enough(path: Path) -> bool:
    return frames_covering(load_speech(path, lambda: False).duration, PARAMS.fps) >= LIMITS.length.least


def read(path: Path, check: Callable[[Path], None], fits: Callable[[Path], bool]) -> tuple[Expected, str]:
    """What becomes of an upload, and the words said where it is refused; any other error is the test's."""
    try:
        check(path)
        return (Expected.USED if fits(path) else Expected.UNFIT), ""
    except InputError as refusal:
        return Expected.REFUSED, refusal.message


def surprises(
    files: list[HostileFile], path: Path, check: Callable[[Path], None], fits: Callable[[Path], bool]
) -> list[str]:
    """Files that became something else than expected, or were refused without a word that helps."""
    found = []
    for file in files:
        path.write_bytes(file.content)
        became, words = read(path, check, fits)
        told = became is not Expected.REFUSED or (words.isprintable() and 10 < len(words) < 400)
        if file.expected not in (became, Expected.ANY) or not told or str(path) in words:
            found.append(f"{file.name}: {became.value}, {words!r}")
    return found


@pytest.mark.parametrize("kind", images.KINDS, ids=lambda kind: kind.__name__)
def test_every_image_is_refused_in_words_or_used(kind, tmp_path):
    files = list(hostile_images_of(kind))

    assert surprises(files, tmp_path / "upload", check_image, shows_a_face) == []


@pytest.mark.parametrize("kind", sounds.KINDS, ids=lambda kind: kind.__name__)
def test_every_sound_is_refused_in_words_or_used(kind, tmp_path):
    files = list(hostile_sounds_of(kind))

    assert surprises(files, tmp_path / "upload", check_audio, is_long_enough) == []


def test_times_that_attack_make_no_hours_of_silence_and_cost_little(tmp_path):
    """And a clock that jumps by hours is told."""
    for file in hostile_sounds_of(sounds.times):
        (tmp_path / "upload").write_bytes(file.content)
        tracemalloc.start()
        started = time.monotonic()
        try:
            speech = load_speech(tmp_path / "upload", lambda: False, tmp_path)
        except InputError:
            continue
        finally:
            took, (_, memory) = time.monotonic() - started, tracemalloc.get_traced_memory()
            tracemalloc.stop()
        codes = {notice.code for notice in speech.notices}

        assert speech.duration < LONGEST_HOLE + 2, file.name
        assert (took, memory) < (20, 20 * 2**20), file.name
        assert codes & {"audio_times_jump", "audio_times_ignored"} or "jump" not in file.name, file.name


def test_checking_leaves_no_memory_no_process_and_no_file(tmp_path, monkeypatch):
    files = [
        *hostile_images_of(images.png_chunks, images.webps),
        *hostile_sounds_of(sounds.mp3s, sounds.long),
    ]
    temporary, path, here = tmp_path / "temporary", tmp_path / "upload", psutil.Process()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    memory, descriptors, children = here.memory_info().rss, here.num_fds(), here.children()
    for file in files:
        path.write_bytes(file.content)
        read(path, check_image if file.field == "reference_image" else check_audio, lambda path: True)

    assert here.memory_info().rss - memory < 30 * 2**20
    assert here.num_fds() <= descriptors
    assert here.children() == children
    assert list(temporary.iterdir()) == []


def test_a_playlist_calls_nobody(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x.wav"
        for name, text in {
            "hls.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n",
            "list.ffconcat": f"ffconcat version 1.0\nfile {address}\n",
            "list.asx": f"<asx><entry><ref href='{address}'/></entry></asx>",
        }.items():
            (tmp_path / name).write_text(text)
            assert read(tmp_path / name, check_audio, is_long_enough)[0] is Expected.REFUSED
        with pytest.raises(BlockingIOError):
            listener.accept()
