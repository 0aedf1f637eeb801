"""The audio tokens of each video frame: Whisper's hidden states of the speech around its moment.

Knows nothing of files, resampling or pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from models.echomimic.networks.config import AUDIO_CHANNELS, AUDIO_STATES, exact_div
from models.echomimic.networks.speech_encoder import (
    ENCODER_FRAMES,
    ENCODER_ROWS,
    ENCODER_STRIDE,
    MEL_BANDS,
    SpeechEncoder,
)
from models.frame_rate import FrameRate
from models.speech import SAMPLE_RATE, as_floats

# Whisper's front end (Radford et al. 2022, section 2.2)
WINDOW = exact_div(SAMPLE_RATE * 25, 1000)  # 400 samples under one analysis window, 25 ms
HOP = exact_div(SAMPLE_RATE * 10, 1000)  # 160 samples from one window to the next, 10 ms
DYNAMIC_RANGE = 8.0  # powers of ten below the loudest moment of the whole speech; what is lower is raised
FLOOR = 1e-10

SAMPLES_PER_ROW = HOP * ENCODER_STRIDE  # 320 samples per feature row
ROWS_PER_SECOND = exact_div(SAMPLE_RATE, SAMPLES_PER_ROW)  # 50 feature rows a second

ROWS_BEFORE, ROWS_AFTER = 4, 5  # feature rows around a video frame's own row


@dataclass(frozen=True)
class SpeechTokens:
    """The tokens of each video frame, gathered on demand, so that only the feature rows take memory.

    Attributes:
        features: [rows, 5, 384], 50 rows a second.
        rows: int64 [frames, 10], the feature rows around each video frame.
    """

    features: Tensor
    rows: Tensor

    def __len__(self) -> int:
        """How many video frames have tokens: two or three more than the speech lasts."""
        return len(self.rows)

    def of(self, frames: Tensor) -> Tensor:
        """Tokens of these video frames: [*frames' shape, 10 rows × 5 states, 384]."""
        return self.features[self.rows[frames]].flatten(-3, -2)


def log_mel(samples: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """Logarithmic mel spectrogram, scaled as Whisper was trained on, in pieces of 30 s.

    Args:
        samples: int16 [n] at 16 kHz, n > 200.
        device: where to compute.

    Yields:
        float32 [80, up to 3000], n // 160 frames in all. The floor depends on the loudest moment of the whole
        speech, which is therefore read twice.
    """
    loudest = torch.stack([piece.max() for piece in _log_powers(samples, device)]).max()
    for piece in _log_powers(samples, device):
        yield (piece.maximum(loudest - DYNAMIC_RANGE) + 4.0) / 4.0


def speech_features(encoder: SpeechEncoder, samples: np.ndarray, rows: int) -> Tensor:
    """Hidden states of a speech, float32 [rows, 5, 384], 50 rows a second.

    The encoder takes 30 s at a time; the last piece is padded with the value 0, which is not silence.

    Args:
        encoder: on any device.
        samples: int16 [n] at 16 kHz, the whole speech.
        rows: how many rows to compute, at most `len(samples) // SAMPLES_PER_ROW`.
    """
    # Allocated as a whole at the start: joining pieces would hold them twice.
    features = torch.empty(rows, AUDIO_STATES, AUDIO_CHANNELS, device=encoder.device)
    for place, mel in zip(features.split(ENCODER_ROWS), log_mel(samples, encoder.device), strict=False):
        filled = nn.functional.pad(mel, (0, ENCODER_FRAMES - mel.shape[1]))
        place.copy_(encoder.states(filled[None].to(encoder.dtype))[: len(place)])
    return features


def speech_tokens(
    encoder: SpeechEncoder, samples: np.ndarray, fps: FrameRate, max_frames: int
) -> SpeechTokens:
    """The audio tokens of each video frame.

    Args:
        encoder: on any device.
        samples: int16 [n] at 16 kHz, the whole speech.
        fps: video frames per second.
        max_frames: the maximum number of frames; the speech may have tokens for fewer.
    """
    if len(samples) < SAMPLES_PER_ROW:  # as two frames at 60 frames per second may be
        samples = np.pad(samples, (0, SAMPLES_PER_ROW - len(samples)))
    rows = rows_around(len(samples) // SAMPLES_PER_ROW, fps)[:max_frames]
    return SpeechTokens(speech_features(encoder, samples, int(rows[-1, -1]) + 1), rows.to(encoder.device))


def rows_around(count: int, fps: FrameRate) -> Tensor:
    """The ten feature rows around each video frame, int64 [frames, 10], of `count` rows in all."""
    centres = torch.tensor([frame * ROWS_PER_SECOND // fps for frame in range(_frames(count, fps))])
    around = torch.arange(-ROWS_BEFORE, ROWS_AFTER + 1)
    return (centres[:, None] + around).clamp(0, count - 1)


def _frames(rows: int, fps: FrameRate) -> int:
    """The number of frames up to and including the first one after the last row, as published.

    The rounding differs from that of the row numbers: rows per frame is a float here.
    """
    frame = 0
    while int(frame * (ROWS_PER_SECOND / float(fps))) <= rows:
        frame += 1
    return frame + 1


def _log_powers(samples: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """The logarithm of each mel band's power, float32 [80, up to 3000] for each 30 s."""
    filters, window = _mel_filters(device), torch.hann_window(WINDOW, device=device)
    for piece in _pieces(samples):
        floats = torch.from_numpy(as_floats(piece)).to(device)
        spectrum = torch.stft(floats, WINDOW, HOP, window=window, center=False, return_complex=True)
        yield (filters @ spectrum.abs() ** 2).clamp(min=FLOOR).log10()


def _pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    """The samples under the analysis windows of each 30 s, mirrored beyond both ends of the speech."""
    frames = len(samples) // HOP
    for first in range(0, frames, ENCODER_FRAMES):
        last = min(first + ENCODER_FRAMES, frames) - 1
        begin, end = first * HOP - WINDOW // 2, last * HOP + WINDOW // 2
        missing = max(-begin, 0), max(end - len(samples), 0)
        yield np.pad(samples[max(begin, 0) : end], missing, mode="reflect")


def _mel_filters(device: torch.device) -> Tensor:
    """Slaney's mel filters, float32 [80, 201]."""
    filters = mel_filter_bank(
        num_frequency_bins=WINDOW // 2 + 1,
        num_mel_filters=MEL_BANDS,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters.T).to(device, torch.float32)
