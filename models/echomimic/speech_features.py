"""What the face should say: Whisper's hidden states of a speech, laid out per video frame.

Knows nothing of files, resampling or pictures.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from models.echomimic.config import AUDIO_CHANNELS, AUDIO_STATES
from models.speech import SAMPLE_RATE

# Whisper's front end (Radford et al. 2022, section 2.2)
WINDOW = SAMPLE_RATE * 25 // 1000  # samples under one analysis window
HOP = SAMPLE_RATE * 10 // 1000  # samples between two of them
MEL_BANDS = 80
DYNAMIC_RANGE = 8.0  # powers of ten kept below the loudest moment of the whole speech
FLOOR = 1e-10

ENCODER_FRAMES = 30 * SAMPLE_RATE // HOP  # mel frames the encoder takes at once
ENCODER_STRIDE = 2  # mel frames per feature row
ROWS_PER_SECOND = SAMPLE_RATE // (HOP * ENCODER_STRIDE)

ROWS_BEFORE, ROWS_AFTER = 4, 5  # around a video frame's own row


class SpeechEncoder(WhisperEncoder):
    """Whisper-tiny's encoder, read between its layers."""

    def __init__(self) -> None:
        super().__init__(
            WhisperConfig(
                num_mel_bins=MEL_BANDS,
                d_model=AUDIO_CHANNELS,
                encoder_layers=AUDIO_STATES - 1,
                encoder_attention_heads=6,
                encoder_ffn_dim=4 * AUDIO_CHANNELS,
                max_source_positions=ENCODER_FRAMES // ENCODER_STRIDE,
            )
        )

    def states(self, mel: Tensor) -> Tensor:
        """[1, 80, 3000] log-mel to [1500, 5, 384]: the stem's output and each block's, no final norm."""
        stem = nn.functional.gelu(self.conv2(nn.functional.gelu(self.conv1(mel))))
        states = [stem.transpose(1, 2) + self.embed_positions.weight]
        for layer in self.layers:
            states.append(layer(states[-1], None))
        return torch.cat(states).transpose(0, 1)


@dataclass(frozen=True)
class SpeechTokens:
    """What each video frame hears; gathered when asked for, so that an hour costs what its rows cost.

    Attributes:
        features: [rows, 5, 384], 50 rows a second.
        rows: int64 [frames, 10], the feature rows around each video frame.
    """

    features: Tensor
    rows: Tensor

    def __len__(self) -> int:
        """Video frames the speech has tokens for; two or three more than it lasts."""
        return len(self.rows)

    def of(self, frames: Tensor) -> Tensor:
        """Tokens of these video frames: [*frames' shape, 10 rows × 5 states, 384]."""
        return self.features[self.rows[frames]].flatten(-3, -2)


def log_mel(samples: Tensor) -> Tensor:
    """Logarithmic mel spectrogram, scaled as Whisper was trained on.

    Args:
        samples: float32 [n] at 16 kHz within [-1, 1], n > 200.

    Returns:
        float32 [80, n // 160]. The floor follows the loudest value of the whole speech, not of a window.
    """
    window = torch.hann_window(WINDOW, device=samples.device)
    spectrum = torch.stft(samples, WINDOW, HOP, window=window, return_complex=True)
    power = spectrum[:, :-1].abs() ** 2
    log = (_mel_filters(samples.device) @ power).clamp(min=FLOOR).log10()
    log = log.maximum(log.max() - DYNAMIC_RANGE)
    return (log + 4.0) / 4.0


def speech_features(encoder: SpeechEncoder, samples: Tensor) -> Tensor:
    """Hidden states of a whole speech, float32 [rows, 5, 384], 50 rows a second.

    The encoder hears 30 s at a time; the last piece is filled up with the value 0, which is not silence.
    """
    pieces = []
    for mel in log_mel(samples).split(ENCODER_FRAMES, dim=1):
        filled = nn.functional.pad(mel, (0, ENCODER_FRAMES - mel.shape[1]))
        states = encoder.states(filled[None].to(encoder.dtype))
        pieces.append(states[: mel.shape[1] // ENCODER_STRIDE].float())
    return torch.cat(pieces)


def speech_tokens(features: Tensor, fps: int) -> SpeechTokens:
    """Give each video frame the ten feature rows around its moment."""
    last = len(features) - 1
    centres = torch.tensor([frame * ROWS_PER_SECOND // fps for frame in range(_frames(len(features), fps))])
    around = torch.arange(-ROWS_BEFORE, ROWS_AFTER + 1)
    rows = (centres[:, None] + around).clamp(0, last)
    return SpeechTokens(features, rows.to(features.device))


def _frames(rows: int, fps: int) -> int:
    """Frames up to and including the first whose moment lies behind the last row, as published.

    The rounding differs from that of the row numbers: rows per frame is a float here.
    """
    frame = 0
    while int(frame * (ROWS_PER_SECOND / fps)) <= rows:
        frame += 1
    return frame + 1


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
