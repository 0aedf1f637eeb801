"""Whatever the channels are, the voice is heard."""

import struct

import numpy as np
import pytest

from models.bounds import Bounds
from models.errors import Cancelled
from models.mix import Levels, choose_mix, downmix_of, mix_of
from models.speech import LOAD_BOUNDS, check_audio
from models.tracks import Track, choose_track
from tests.models.recordings import codes, lag, load, recording, wav

RATE = 44_100
LAYOUTS = {"5.1": 0x3F, "7.1": 0x63F, "quad": 0x33, "2.1": 0xB}  # of loudspeakers in a WAV
LFE = 3  # the fourth channel of 5.1


def spread(channels: int, at: int, others: float = 0.0) -> np.ndarray:
    """The recording on one channel, from 0; the others have noise of this amplitude, each its own."""
    voice = recording(RATE)
    noise = np.random.default_rng(0).normal(0, others * 2**15, (len(voice), channels))
    noise[:, at] = voice
    return noise.astype("<i2")


def wav_with_layout(samples: np.ndarray, mask: int) -> bytes:
    """A WAV file that says which loudspeaker each channel is for (WAVE_FORMAT_EXTENSIBLE)."""
    channels = samples.shape[1]
    form = struct.pack("<HHIIHH", 0xFFFE, channels, RATE, RATE * 2 * channels, 2 * channels, 16)
    form += struct.pack("<HHI", 22, 16, mask) + bytes.fromhex("0100000000001000800000aa00389b71")
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", samples.nbytes) + samples.astype("<i2").tobytes()
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def is_heard(path) -> bool:
    """Whether a file sounds like the recording, at the right time, without a warning."""
    check_audio(path)
    speech = load(path)
    late, alike = lag(speech.samples, recording())
    loudness = np.abs(speech.samples.astype(int)).max() / np.abs(recording().astype(int)).max()
    return abs(late) < 0.02 and alike > 0.97 and 0.4 < loudness < 1.1 and codes(speech) == []


@pytest.fixture
def upload(tmp_path):
    def write(content: bytes):
        (tmp_path / "upload.wav").write_bytes(content)
        return tmp_path / "upload.wav"

    return write


@pytest.mark.parametrize("gain", [-1.0, -0.9, -1.1])
def test_channels_that_cancel_are_not_added(gain, upload):
    voice = recording(RATE)

    assert is_heard(upload(wav(np.stack([voice, (gain * 0.9 * voice)], axis=1), RATE)))


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_channels_that_cancel_but_for_what_a_codec_did_are_not_added(codec, ffmpeg, upload, tmp_path):
    voice = recording(RATE)
    path = upload(wav(np.stack([voice, -voice], axis=1), RATE))
    ffmpeg("-i", path, "-c:a", codec, "-b:a", "96k", tmp_path / "coded.mp4")
    speech = load(tmp_path / "coded.mp4")

    assert np.abs(speech.samples.astype(int)).max() > 0.8 * np.abs(recording().astype(int)).max()


def test_a_hum_that_both_channels_share_does_not_hide_that_the_voice_cancels(upload):
    voice = recording(RATE).astype(float)
    hum = 6000 * np.sin(2 * np.pi * 50 / RATE * np.arange(len(voice)))
    path = upload(wav(np.stack([voice + hum, -voice + hum], axis=1), RATE))

    assert lag(load(path).samples, recording())[1] > 0.4


def test_channels_that_cancel_for_half_of_the_time_are_not_added(upload):
    voice = recording(RATE).astype(float)
    other = np.where(np.arange(len(voice)) < len(voice) / 2, 1, -1) * voice

    assert is_heard(upload(wav(np.stack([voice, other], axis=1), RATE)))


@pytest.mark.parametrize(
    ("channels", "at", "others"),
    [
        *((2, 1, 0), (3, 2, 0), (6, 3, 0), (6, 5, 0), (8, 3, 0), (9, 0, 0), (16, 15, 0), (64, 63, 0)),
        *((2, 0, 0.0005), (6, 3, 0.003), (12, 11, 0.003), (60, 0, 0.003)),
    ],
)
def test_a_voice_on_any_channel_without_a_layout_is_heard(channels, at, others, upload):
    assert is_heard(upload(wav(spread(channels, at, others), RATE)))


@pytest.mark.parametrize(
    ("layout", "at"), [("5.1", 0), ("5.1", 2), ("5.1", LFE), ("5.1", 5), ("7.1", 7), ("quad", 2), ("2.1", 2)]
)
def test_a_voice_on_any_loudspeaker_is_heard(layout, at, upload):
    mask = LAYOUTS[layout]

    assert is_heard(upload(wav_with_layout(spread(mask.bit_count(), at), mask)))


@pytest.mark.parametrize("at", [0, LFE])
def test_a_voice_on_any_loudspeaker_is_heard_in_coded_sound(at, ffmpeg, upload, tmp_path):
    path = upload(wav_with_layout(spread(6, at), LAYOUTS["5.1"]))
    ffmpeg("-i", path, "-c:a", "flac", tmp_path / "coded.flac")

    assert is_heard(tmp_path / "coded.flac")


def test_voices_that_take_turns_on_two_of_twelve_channels_are_both_heard(upload):
    voice = recording(RATE)
    samples = np.zeros((2 * len(voice), 12))
    samples[: len(voice), 3] = samples[len(voice) :, 9] = voice
    speech = load(upload(wav(samples, RATE)))

    assert lag(speech.samples, np.tile(recording(), 2)) == pytest.approx((0, 1), abs=0.01)


def test_of_a_voice_on_many_channels_the_loudest_is_heard(upload):
    samples = np.stack([recording(RATE) * gain for gain in (0.1, -0.3, 0.9, -0.5)], axis=1)

    assert "c0=1.00000*c2" in load(upload(wav(samples, RATE))).sound.mix


def test_stereo_that_loses_nothing_is_mixed_as_ever(upload):
    voice = recording(RATE)
    for other in (voice, 0 * voice, np.roll(voice, 30)):
        path = upload(wav(np.stack([voice, other], axis=1), RATE))

        assert choose_mix(path, choose_track(path, LOAD_BOUNDS), LOAD_BOUNDS, lambda: False) == ""


def test_surround_that_loses_nothing_is_mixed_by_its_layout(upload):
    music = np.random.default_rng(0).normal(0, 3000, (RATE, 6))
    path = upload(wav_with_layout(music, LAYOUTS["5.1"]))

    assert load(path).sound.mix == ""


def test_the_mix_of_a_layout_is_ffmpegs():
    assert downmix_of("stereo", 2) == pytest.approx([0.5, 0.5], abs=1e-3)
    assert downmix_of("5.1", 6)[LFE] == 0
    assert downmix_of("no layout", 2) is None
    assert downmix_of("", 2) is None


def test_silence_is_mixed_as_ever():
    silence = Levels(np.zeros((10, 2)), np.zeros(10), np.zeros(10))

    assert mix_of(silence) == ""


def test_a_file_without_samples_is_not_measured(tmp_path):
    (tmp_path / "text").write_text("no sound")
    stereo = Track(mono=False, layout="stereo")

    assert choose_mix(tmp_path / "text", stereo, Bounds(2**30), lambda: False) == ""


def test_stops_when_asked(upload):
    path = upload(wav(spread(2, 0), RATE))

    with pytest.raises(Cancelled):
        choose_mix(path, Track(mono=False, layout="stereo"), LOAD_BOUNDS, lambda: True)
