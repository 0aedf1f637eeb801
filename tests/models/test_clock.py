from fractions import Fraction

import numpy as np
import pytest
from scipy.io import wavfile

from models.clock import clock_output, read_clock


@pytest.mark.parametrize("samples", [1, 47_999, 48_000, 48_001, 200_000])
def test_counts_the_samples_of_the_source(samples, ffmpeg, tmp_path):
    wavfile.write(tmp_path / "a.wav", 44_100, np.zeros(samples, np.int16))
    ffmpeg("-i", tmp_path / "a.wav", *clock_output(tmp_path / "clock", "0:a:0", "anull"))

    assert read_clock(tmp_path / "clock") == Fraction(samples, 44_100)


def test_what_a_filter_adds_counts(ffmpeg, tmp_path):
    wavfile.write(tmp_path / "a.wav", 8_000, np.zeros(8_000, np.int16))
    ffmpeg("-i", tmp_path / "a.wav", *clock_output(tmp_path / "clock", "0:a:0", "apad=pad_len=2000"))

    assert read_clock(tmp_path / "clock") == Fraction(10_000, 8_000)
