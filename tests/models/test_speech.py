import errno
import os
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from models.errors import AudioError, Cancelled
from models.ffmpeg import Ffmpeg
from models.speech import CHECK_BOUNDS, LOAD_BOUNDS, SAMPLE_RATE, Speech, check_audio, load_speech

USUAL_RATES = [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000]


def go_on() -> bool:
    return False


def envelope(samples: np.ndarray) -> np.ndarray:
    """Loudness in steps of 50 ms."""
    steps = samples[: len(samples) // 800 * 800].reshape(-1, 800)
    return np.sqrt((steps**2).mean(axis=1))


def test_decodes_to_mono_at_sixteen_kilohertz(speech_file):
    speech = load_speech(speech_file, go_on)
    rate, original = wavfile.read(speech_file)

    assert speech.samples.dtype == np.int16
    assert speech.samples.ndim == 1
    assert speech.duration == Fraction(len(original), rate)
    assert abs(len(speech.samples) - speech.duration * SAMPLE_RATE) < 1
    assert np.abs(speech.samples).max() > 0.3 * 2**15
    assert speech.notices == ()


@pytest.mark.parametrize("rate", USUAL_RATES)
def test_lasts_as_long_as_its_own_samples_say_not_the_resampled_ones(rate, tmp_path):
    for count in (rate, rate + 1, 2 * rate - 1):
        wavfile.write(tmp_path / "exact.wav", rate, np.full(count, 1000, np.int16))
        speech = load_speech(tmp_path / "exact.wav", go_on)

        assert speech.duration == Fraction(count, rate)
        assert abs(len(speech.samples) - speech.duration * SAMPLE_RATE) < 1


def test_what_only_the_samples_tell_lasts_as_long_as_they_do():
    assert Speech(np.zeros(24_000, np.int16)).duration == Fraction(3, 2)


def test_a_decoder_that_crashes_leaves_what_it_decoded(speech_file, monkeypatch):
    wait = Ffmpeg.wait
    monkeypatch.setattr(Ffmpeg, "wait", lambda self: wait(self) or -11)
    speech = load_speech(speech_file, go_on)

    assert speech.duration == Fraction(len(speech.samples), SAMPLE_RATE)
    assert [notice.code for notice in speech.notices] == ["audio_damaged"]


def test_a_disk_without_room_for_the_count_is_no_damage_of_the_file(speech_file, monkeypatch):
    full = os.strerror(errno.ENOSPC)
    monkeypatch.setattr(Ffmpeg, "said", lambda self, *parts: full if full in parts else "")

    with pytest.raises(OSError, match=full) as raised:
        load_speech(speech_file, go_on)
    assert raised.value.errno == errno.ENOSPC


def test_hears_the_same_in_every_format(sound_file, speech_file):
    original = envelope(load_speech(speech_file, go_on).beginning(1.5))
    check_audio(sound_file)
    speech = load_speech(sound_file, go_on)
    heard = envelope(speech.beginning(10))
    # A bare AAC stream does not say that its first frame of 46 ms is the encoder's run-up.
    alike = max(np.corrcoef(heard[late : late + 25], original[:25])[0, 1] for late in (0, 1))

    assert speech.duration == pytest.approx(1.5, abs=0.1)  # MP3 and AAC are whole frames of 26 and 46 ms
    assert alike > 0.95


def test_a_file_in_order_is_decoded_by_ffmpeg_alone(sound_file, ffmpeg):
    speech = load_speech(sound_file, go_on)
    plain = ffmpeg("-i", sound_file, "-ac", 1, "-ar", SAMPLE_RATE, "-f", "s16le", "pipe:1")

    assert speech.samples.tobytes() == plain
    assert speech.sound.timeline.edits == ()
    assert speech.notices == ()


def test_hours_take_no_memory(ffmpeg, tmp_path):
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=1000:cl=mono", "-t", 2 * 3600, tmp_path / "silence.flac")
    tracemalloc.start()
    speech = load_speech(tmp_path / "silence.flac", go_on)
    beginning = speech.beginning(1.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert speech.duration == pytest.approx(2 * 3600)
    assert len(beginning) == 1.5 * SAMPLE_RATE
    assert peak < speech.samples.nbytes / 50


def test_what_was_decoded_leaves_nothing_behind(speech_file, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    speech = load_speech(speech_file, go_on)

    assert np.abs(speech.samples).max() > 1000
    assert list(tmp_path.iterdir()) == []


def test_the_beginning_is_what_was_decoded_as_floats(speech_file):
    speech = load_speech(speech_file, go_on)
    beginning = speech.beginning(1.5)

    assert beginning.dtype == np.float32
    assert 0.01 < np.abs(beginning).max() <= 1
    assert np.array_equal(beginning * 2**15, speech.samples[: len(beginning)])
    assert len(speech.beginning(100)) == len(speech.samples)


def test_both_channels_of_stereo_are_heard(tmp_path):
    tone = (8000 * np.sin(np.arange(SAMPLE_RATE) / 10)).astype(np.int16)
    silence = np.zeros_like(tone)
    for sides in ([tone, silence], [silence, tone]):
        wavfile.write(tmp_path / "one-side.wav", SAMPLE_RATE, np.stack(sides, axis=1))

        assert np.abs(load_speech(tmp_path / "one-side.wav", go_on).samples).max() > 3000


@pytest.mark.parametrize("name", ["clip.mp3", "clip.aac", "clip.m4a", "clip.flac", "clip.webm"])
@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".aac", ".png", ""])
def test_judges_by_content_not_by_name(name, suffix, sound_files, tmp_path):
    misnamed = tmp_path / f"audio{suffix}"
    misnamed.write_bytes(sound_files[name].read_bytes())
    check_audio(misnamed)

    assert load_speech(misnamed, go_on).duration == pytest.approx(1.5, abs=0.1)


def test_a_name_that_looks_like_a_protocol_or_an_option_is_a_name(speech_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b", "-version", "http:x.wav", "a%03d.wav"):
        Path(name).write_bytes(speech_file.read_bytes())

        assert load_speech(Path(name), go_on).duration > 6


def test_not_a_number_and_infinity_become_finite_samples(tmp_path):
    samples = np.sin(np.arange(SAMPLE_RATE) / 10, dtype=np.float32) / 2
    samples[1000:2000], samples[3000:3100], samples[4000] = np.nan, np.inf, 1e30
    wavfile.write(tmp_path / "odd.wav", SAMPLE_RATE, samples)
    speech = load_speech(tmp_path / "odd.wav", go_on)

    assert np.abs(speech.samples[4100:].astype(int)).max() == pytest.approx(2**14, rel=0.01)
    assert len(speech.samples) == SAMPLE_RATE


def test_more_channels_than_two_are_mixed(tmp_path):
    noise = np.random.default_rng(0).integers(-9000, 9000, (SAMPLE_RATE, 16)).astype(np.int16)
    wavfile.write(tmp_path / "many.wav", SAMPLE_RATE, noise)

    assert load_speech(tmp_path / "many.wav", go_on).duration == 1


@pytest.mark.parametrize(
    ("playlist", "refers"),
    [
        ("ffconcat version 1.0\nfile secret.wav\n", "secret.wav"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.wav\n#EXT-X-ENDLIST\n", "secret.wav"),
        ("<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>secret.wav</BaseURL></MPD>", "secret.wav"),
        ("v=0\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n", "127.0.0.1"),
    ],
    ids=["ffconcat", "hls", "dash", "sdp"],
)
@pytest.mark.parametrize("name", ["audio.wav", "audio.m3u8", "audio.ffconcat", "audio.mpd", "audio.sdp"])
def test_a_playlist_cannot_make_it_read_another_file(playlist, refers, name, speech_file, tmp_path):
    (tmp_path / "secret.wav").write_bytes(speech_file.read_bytes())
    (tmp_path / name).write_text(playlist)

    with pytest.raises(AudioError) as refusal:
        check_audio(tmp_path / name)
    with pytest.raises(AudioError):
        load_speech(tmp_path / name, go_on)
    assert refers not in refusal.value.message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"this is not audio", "cannot be decoded: Invalid data"),
        (bytes(5000), "cannot be decoded|not accepted"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "cannot be decoded|no sound"),
    ],
)
@pytest.mark.parametrize("read", [check_audio, lambda path: load_speech(path, go_on)], ids=["check", "load"])
def test_refuses_what_is_no_audio(read, content, reason, tmp_path):
    path = tmp_path / "audio.wav"
    path.write_bytes(content)

    with pytest.raises(AudioError, match=reason) as refusal:
        read(path)
    assert refusal.value.field == "audio_file"
    assert "WAV, MP3, M4A" in refusal.value.allowed
    assert str(tmp_path) not in refusal.value.message


def test_refuses_an_image(astronaut_file):
    with pytest.raises(AudioError, match="not accepted"):
        check_audio(astronaut_file)


def test_refuses_a_video_without_sound(silent_video):
    with pytest.raises(AudioError, match="no sound"):
        check_audio(silent_video)


def test_a_wav_without_samples_has_no_sound(tmp_path):
    wavfile.write(tmp_path / "none.wav", SAMPLE_RATE, np.zeros(0, np.int16))

    with pytest.raises(AudioError):
        check_audio(tmp_path / "none.wav")


def test_an_m4a_that_ends_early_says_what_is_missing(sound_files, tmp_path):
    whole = sound_files["clip.m4a"].read_bytes()
    (tmp_path / "cut.m4a").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(AudioError, match="moov atom not found"):
        check_audio(tmp_path / "cut.m4a")


def test_a_file_that_breaks_in_the_middle_is_used_up_to_there_and_warned_about(sound_files, tmp_path):
    whole = sound_files["clip.webm"].read_bytes()
    (tmp_path / "cut.webm").write_bytes(whole[: len(whole) // 2])
    check_audio(tmp_path / "cut.webm")
    speech = load_speech(tmp_path / "cut.webm", go_on)

    assert 0.3 < speech.duration < 1.2
    (notice,) = speech.notices
    assert notice.code == "audio_damaged"
    assert f"the {float(speech.duration):.1f} s that could be decoded" in notice.text


def test_refuses_hours_of_audio_in_a_small_file(ffmpeg, tmp_path, monkeypatch):
    monkeypatch.setattr("models.speech.MAX_SECONDS", 3600)
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=1000:cl=mono", "-t", 3700, tmp_path / "silence.flac")

    assert (tmp_path / "silence.flac").stat().st_size < 2**20
    with pytest.raises(AudioError, match="more than 1 hour"):
        load_speech(tmp_path / "silence.flac", go_on)


def test_refuses_what_takes_too_long(ffmpeg, tmp_path, monkeypatch):
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=1000:cl=mono", "-t", 3 * 3600, tmp_path / "hours.flac")
    monkeypatch.setattr("models.speech.LOAD_BOUNDS", replace(LOAD_BOUNDS, seconds=0.05))

    with pytest.raises(AudioError, match="takes too long"):
        load_speech(tmp_path / "hours.flac", go_on)


def test_refuses_what_takes_too_much_memory(speech_file, monkeypatch):
    monkeypatch.setattr("models.speech.CHECK_BOUNDS", replace(CHECK_BOUNDS, memory=2**20))

    with pytest.raises(AudioError, match="cannot be decoded"):
        check_audio(speech_file)


def test_stops_when_asked(speech_file):
    asked = []

    def stop_at_the_third() -> bool:
        asked.append(True)
        return len(asked) == 3

    with pytest.raises(Cancelled):
        load_speech(speech_file, stop_at_the_third)
    assert len(asked) == 3
