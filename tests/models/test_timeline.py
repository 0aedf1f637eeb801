"""Time counts: what is missing in a file is silence, and what follows is heard at its own time."""

import random
import re
import struct
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from models.speech import SAMPLE_RATE, check_audio
from models.timeline import LONGEST_HOLE, Timeline
from tests.matroska import block, matroska, packets, timed, track
from tests.models.recordings import HOLE, SECONDS, codes, lag, load, recording, wav, with_hole

HOUR_MS = 3_600_000
TIMES = range(0, 1800, 20)  # milliseconds, of the recording's packets
IN_STEP_S = 0.02


@pytest.fixture
def heard(tmp_path):
    """Loads a Matroska file of the recording in packets that begin at these times."""

    def hear(times: Iterable[int]):
        path = tmp_path / "timed.mkv"
        path.write_bytes(timed(recording().tobytes(), times))
        check_audio(path)
        return load(path)

    return hear


DROPPED = f"noise=drop=between(pts*tb\\,{HOLE[0]}\\,{HOLE[1]})"


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "recording.wav"
    path.write_bytes(wav(recording()))
    return path


@pytest.fixture(params=["webm", "m4a", "mka", "ogg"])
def file_with_hole(request, recorded, ffmpeg, tmp_path):
    """The recording in a container, without the packets in `HOLE`."""
    encoder = {"webm": "libopus", "m4a": "aac", "mka": "libvorbis", "ogg": "libopus"}[request.param]
    whole, path = (tmp_path / f"{name}.{request.param}" for name in ("whole", "hole"))
    ffmpeg("-i", recorded, "-ar", 48_000, "-c:a", encoder, whole)
    # In Ogg a page has one time, that of its end.
    pages = ["-page_duration", 20_000] if request.param == "ogg" else []
    ffmpeg("-i", whole, "-c", "copy", "-bsf:a", DROPPED, *pages, path)
    return path


def test_missing_packets_are_silence_and_what_follows_keeps_its_time(file_with_hole):
    speech = load(file_with_hole)
    late, alike = lag(speech.samples, with_hole(recording()))
    inside = speech.samples[round(0.9 * SAMPLE_RATE) : round(1.25 * SAMPLE_RATE)]

    assert float(speech.duration) == pytest.approx(SECONDS, abs=IN_STEP_S)
    assert len(speech.samples) == pytest.approx(speech.duration * SAMPLE_RATE, abs=1)
    assert abs(late) < IN_STEP_S
    assert alike > 0.75
    assert not inside.any()
    assert codes(speech) == []


@pytest.mark.parametrize("holes", [[20], [100, 60], [400] * 10, [60_000]], ids=str)
def test_any_hole_is_kept_to_the_sample(holes, heard):
    times, late = [], 0
    for number, at in enumerate(TIMES):
        late += holes[number - 40] if 40 <= number < 40 + len(holes) else 0
        times.append(at + late)
    speech = heard(times)
    parts = packets(recording().tobytes())

    assert speech.duration * 1000 == 1800 + sum(holes)
    for at, part in zip(times, parts, strict=True):
        start = at * SAMPLE_RATE // 1000
        assert speech.samples[start : start + len(part) // 2].tobytes() == part
    assert codes(speech) == []


@pytest.mark.parametrize("samples", [1000, 47_999, 48_000, 48_001, 200_000])
def test_the_duration_is_counted_in_samples_of_the_source(samples, tmp_path):
    (tmp_path / "counted.wav").write_bytes(wav(np.zeros(samples), 44_100))

    assert load(tmp_path / "counted.wav").duration == Fraction(samples, 44_100)


@pytest.mark.parametrize(
    ("name", "encoder"), [("a.opus", "libopus"), ("a.ogg", "libvorbis"), ("a.flac", "flac")]
)
def test_a_part_of_the_file_that_is_lost_is_silence(name, encoder, recorded, ffmpeg, tmp_path):
    whole, path = tmp_path / name, tmp_path / f"lost-{name}"
    ffmpeg("-stream_loop", 3, "-i", recorded, "-c:a", encoder, "-ar", 48_000, whole)
    content = whole.read_bytes()
    pages = [found.start() for found in re.finditer(b"OggS", content)]
    middle = len(content) // 2
    lost = pages[5:7] if pages else (middle, middle + len(content) // 8)
    path.write_bytes(content[: lost[0]] + content[lost[1] :])
    speech, last = load(path), recording()

    assert float(speech.duration) == pytest.approx(4 * SECONDS, abs=IN_STEP_S)
    assert abs(lag(speech.samples[-len(last) :], last)[0]) < IN_STEP_S


@pytest.mark.parametrize("name", ["late.mp4", "late.mov", "late.webm", "late.mkv"])
def test_a_track_that_starts_late_begins_with_silence(name, recorded, ffmpeg, tmp_path):
    sound = ["-itsoffset", 0.5, "-i", recorded, "-ar", 48_000]
    picture = ["-f", "lavfi", "-i", "testsrc=d=3:s=64x64:r=10"]
    ffmpeg(*picture, *sound, tmp_path / name)
    speech = load(tmp_path / name)
    late, alike = lag(speech.samples, recording())

    assert late == pytest.approx(0.5, abs=IN_STEP_S)
    assert alike > 0.9
    assert float(speech.duration) == pytest.approx(0.5 + SECONDS, abs=0.03)
    assert not speech.samples[: round(0.4 * SAMPLE_RATE)].any()
    assert codes(speech) == []


def amr(frames: Iterable[tuple[int, int]]) -> bytes:
    """An AMR file (RFC 4867, section 5) of frames of noise."""
    noise = np.random.default_rng(1)
    return b"#!AMR\n" + b"".join(bytes([kind << 3 | 4]) + noise.bytes(size) for kind, size in frames)


SPEECH, SID, NO_DATA = (7, 31), (8, 5), (15, 0)  # type of an AMR frame, bytes behind its head


@pytest.mark.parametrize(
    "frames",
    [
        [SPEECH] * 20 + [SID] + [NO_DATA] * 7 + [SID] + [NO_DATA] * 21 + [SPEECH] * 40,
        [SPEECH] * 50 + [SID, *[NO_DATA] * 7] * 5,
        [SPEECH, SPEECH, NO_DATA, SPEECH, SID, SPEECH, NO_DATA, NO_DATA] * 10 + [SPEECH] * 10,
    ],
    ids=["in the middle", "at the end", "here and there"],
)
@pytest.mark.parametrize("container", ["amr", "3gp"])
def test_pauses_that_were_not_transmitted_are_silence(frames, container, ffmpeg, tmp_path):
    path = tmp_path / "pauses.amr"
    path.write_bytes(amr(frames))
    if container == "3gp":
        ffmpeg("-f", "amr", "-i", path, "-c", "copy", tmp_path / "pauses.3gp")
        path = tmp_path / "pauses.3gp"
    check_audio(path)
    speech = load(path)
    loud = np.abs(speech.samples.astype(int)).reshape(-1, 320).max(axis=1) > 0

    assert float(speech.duration) == pytest.approx(0.02 * len(frames), abs=IN_STEP_S)
    # The decoder of a frame of speech rings for a moment.
    assert [bool(heard) for heard in loud][:20] == [kind is SPEECH for kind in frames][:20]
    assert loud.sum() == sum(kind is SPEECH for kind in frames)
    assert codes(speech) == []


def test_speech_in_amr_that_is_cut_off_is_told_as_damage(tmp_path):
    (tmp_path / "cut.amr").write_bytes(amr([SPEECH] * 20 + [NO_DATA] * 5 + [SPEECH] * 20)[:-12])

    assert codes(load(tmp_path / "cut.amr")) == ["audio_damaged"]


def test_packets_that_cannot_be_decoded_are_silence(recorded, ffmpeg, tmp_path):
    ffmpeg("-i", recorded, "-c:a", "aac", tmp_path / "whole.m4a")
    content = bytearray((tmp_path / "whole.m4a").read_bytes())
    start = content.index(b"mdat")
    broken = slice(start + 4000, start + 6000)
    content[broken] = b"\xff" * len(content[broken])
    (tmp_path / "broken.m4a").write_bytes(content)
    speech = load(tmp_path / "broken.m4a")
    end = recording()[-round(0.5 * SAMPLE_RATE) :]

    assert float(speech.duration) == pytest.approx(SECONDS, abs=0.07)
    assert lag(speech.samples[-len(end) :], end)[0] == pytest.approx(0, abs=IN_STEP_S)
    assert codes(speech) == ["audio_damaged"]


@pytest.mark.parametrize("drift", [0.997, 1.003])
def test_a_clock_that_runs_a_little_fast_or_slow_is_followed(drift, tmp_path):
    samples = np.tile(recording(), 10)
    parts = packets(samples.tobytes())
    times = [round(20 * number * drift) for number in range(len(parts))]
    (tmp_path / "drifts.mkv").write_bytes(timed(samples.tobytes(), times))
    speech = load(tmp_path / "drifts.mkv")
    last = speech.samples[-len(recording()) :]

    assert float(speech.duration) == pytest.approx(18 * drift, abs=IN_STEP_S)
    assert abs(lag(last, recording())[0]) < IN_STEP_S
    assert codes(speech) == []


def trembling(most: int) -> list[int]:
    dice = random.Random(0)
    return [max(at + dice.randint(-most, most), 0) for at in TIMES]


AS_GOOD_AS_NONE = {
    "those of arrival, twice in bursts": [800 if 400 <= at < 800 else at for at in TIMES],
    "late for a while": [at + 300 if 400 <= at < 700 else at for at in TIMES],
    "trembling a little": trembling(15),
    "trembling": trembling(60),
    "from an hour on, as in a live recording": [at + HOUR_MS for at in TIMES],
    "negative": [at - 500 for at in TIMES],
}


@pytest.mark.parametrize("times", AS_GOOD_AS_NONE.values(), ids=AS_GOOD_AS_NONE.keys())
def test_times_that_say_nothing_about_holes_change_nothing(times, heard):
    speech = heard(times)

    assert np.array_equal(speech.samples, recording())
    assert codes(speech) == []


NONSENSE = {
    "all the same": [0] * len(TIMES),
    "at half the pace": [at // 2 for at in TIMES],
    "at twice the pace": [at * 2 for at in TIMES],
    "8 % too fast": [round(at * 1.08) for at in TIMES],
    "backwards": list(reversed(TIMES)),
    "at random": [random.Random(at).randrange(HOUR_MS) for at in TIMES],
    "in pairs": [at // 40 * 40 for at in TIMES],
}


@pytest.mark.parametrize("times", NONSENSE.values(), ids=NONSENSE.keys())
def test_times_that_do_not_fit_the_sound_are_ignored_and_told(times, heard):
    speech = heard(times)

    assert np.array_equal(speech.samples, recording())
    assert codes(speech) == ["audio_times_ignored"]


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([at + (10 * HOUR_MS if at >= 800 else 0) for at in TIMES], 36_000),
        ([at + (2**40 if at >= 800 else 0) for at in TIMES], 2**40 / 1000),
        ([at + (HOUR_MS if at < 800 else 0) for at in TIMES], 3600),
        ([at - (700 if at >= 800 else 0) for at in TIMES], 0.7),
    ],
    ids=["ten hours ahead", "decades ahead", "an hour back", "a little back"],
)
def test_a_clock_that_jumps_is_told_and_makes_no_silence(times, seconds, heard):
    speech = heard(times)
    (notice,) = speech.notices

    assert np.array_equal(speech.samples, recording())
    assert notice.code == "audio_times_jump"
    assert dict(notice.values) == {"count": 1, "seconds": seconds}


def test_times_beyond_all_numbers_are_told_and_make_no_silence(heard):
    speech = heard([at + (2**63 - 4000 if at >= 800 else 0) for at in TIMES])

    assert float(speech.duration) == pytest.approx(SECONDS, abs=0.1)
    assert codes(speech) == ["audio_times_jump"]


def test_a_hole_before_and_after_a_jump_is_silence(heard):
    late = {30: 300, 45: 10 * HOUR_MS, 60: 500}
    speech = heard([at + sum(late[n] for n in late if n <= number) for number, at in enumerate(TIMES)])

    assert speech.duration * 1000 == 1800 + 300 + 500
    assert codes(speech) == ["audio_times_jump"]


def test_jump_upon_jump_makes_no_more_silence_than_one_hole_and_the_sound(heard):
    speech = heard([at + at // 200 * 500_000 for at in TIMES])

    assert speech.duration <= LONGEST_HOLE + 2 * SECONDS
    assert codes(speech) == ["audio_times_jump"]


def test_a_live_file_that_says_nothing_of_its_length_is_read_to_its_end(tmp_path):
    parts = packets(recording().tobytes())
    content = matroska(block(at, part) for at, part in zip(TIMES, parts, strict=True))
    (tmp_path / "live.mkv").write_bytes(content[:-100])
    speech = load(tmp_path / "live.mkv")

    assert float(speech.duration) == pytest.approx(SECONDS - 0.02)
    assert np.array_equal(speech.samples, recording()[: len(speech.samples)])


@pytest.mark.parametrize(
    ("edits", "laid_out"),
    [
        ((), "abcdefgh"),
        (((0, 3),), "...abcdefgh"),
        (((3, 2), (5, 1)), "abc..de.fgh"),
        (((2, -3),), "abfgh"),
        (((2, -1), (4, 2)), "abd..efgh"),
        (((2, -3), (3, 1)), "ab.fgh"),
        (((8, 2),), "abcdefgh.."),
        (((3, 1), (8, 2)), "abc.defgh.."),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_silence_is_put_and_samples_are_left_out_where_the_edits_say(edits, laid_out, size):
    timeline = Timeline(SAMPLE_RATE, edits)
    content = b"".join(struct.pack("2s", letter.encode() * 2) for letter in "abcdefgh")
    blocks = [content[start : start + size] for start in range(0, len(content), size)]
    heard = b"".join(timeline.laid_out(blocks, SAMPLE_RATE, 2))

    assert heard.replace(b"\0", b".")[::2].decode() == laid_out


def test_at_another_rate_rounding_errors_do_not_add_up():
    timeline = Timeline(44_100, tuple((position, 441) for position in range(0, 44_100, 441)))
    heard = b"".join(timeline.laid_out([b"x" * 2 * 16_000], 16_000, 2))
    sounding = np.flatnonzero(np.diff(np.frombuffer(heard, "<i2") != 0))

    assert len(heard) == 2 * 32_000
    assert all(abs(second - first - 160) <= 1 for first, second in pairwise(sounding))


def test_two_tracks_keep_the_time_between_them(tmp_path):
    second = with_hole(recording())
    blocks = [
        inner
        for at, one, two in zip(TIMES, packets(recording().tobytes()), packets(second.tobytes()), strict=True)
        for inner in (block(at, one, 1), block(at + 300, two, 2))
    ]
    tracks = [track(1, default=False), track(2)]
    (tmp_path / "two.mkv").write_bytes(matroska(blocks, tracks))
    speech = load(tmp_path / "two.mkv")

    assert lag(speech.samples, second) == pytest.approx((0.3, 1.0), abs=1e-3)
