"""Whisper-tiny's encoder (Radford et al. 2022, section 2.2).

Knows nothing of samples, spectrograms or video frames.
"""

import torch
from torch import Tensor, nn
from transformers.models.whisper.configuration_whisper import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from models.echomimic.networks.config import AUDIO_CHANNELS, AUDIO_STATES, exact_div

MEL_BANDS = 80
ENCODER_FRAMES = 3000  # mel frames in a 30-second chunk, which the encoder takes at once
ENCODER_STRIDE = 2  # mel frames per feature row
ENCODER_ROWS = exact_div(ENCODER_FRAMES, ENCODER_STRIDE)  # 1500 feature rows in a chunk


class SpeechEncoder(WhisperEncoder):
    """The encoder, whose hidden states between the layers are the result."""

    def __init__(self) -> None:
        super().__init__(
            WhisperConfig(
                num_mel_bins=MEL_BANDS,
                d_model=AUDIO_CHANNELS,
                encoder_layers=AUDIO_STATES - 1,
                encoder_attention_heads=6,
                encoder_ffn_dim=4 * AUDIO_CHANNELS,
                max_source_positions=ENCODER_ROWS,
            )
        )

    def states(self, mel: Tensor) -> Tensor:
        """[1, 80, 3000] log-mel to [1500, 5, 384]: the outputs of the stem and of each block, no final norm.

        Raises:
            ValueError: the shape is different, and would be broadcast or mixed up.
        """
        if mel.shape != (1, MEL_BANDS, ENCODER_FRAMES):
            raise ValueError(f"mel is {list(mel.shape)}, expected [1, {MEL_BANDS}, {ENCODER_FRAMES}]")
        stem = nn.functional.gelu(self.conv2(nn.functional.gelu(self.conv1(mel))))
        states = [stem.transpose(1, 2) + self.embed_positions.weight]
        for layer in self.layers:
            states.append(layer(states[-1], None))
        return torch.cat(states).transpose(0, 1)
