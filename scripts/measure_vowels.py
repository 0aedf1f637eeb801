"""Measures the vowel table of `models/preview/vowels.py` on espeak-ng's voices and prints it.

    python scripts/measure_vowels.py

Needs `espeak-ng` (Debian: `apt install espeak-ng`).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import librosa
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from models.speech import SAMPLE_RATE
from models.voice import listen

VOWELS = {"a": "A:", "ae": "a", "e": "E", "i": "i:", "o": "O:", "u": "u:", "schwa": "3:"}
VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")
VOICED = 0.5


def vowel_cepstra(variant: str, phoneme: str) -> np.ndarray:
    """The mean cepstra of one vowel, held, by one voice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vowel.wav"
        text = f"[[h{phoneme}h{phoneme}h{phoneme}]]"
        subprocess.run(["espeak-ng", "-v", f"en-us+{variant}", "-s", "110", "-w", path, text], check=True)
        samples, _ = librosa.load(path, sr=SAMPLE_RATE)
    voice = listen(samples)
    loud = voice.loudness > 0.5 * np.percentile(voice.loudness, 95)
    return np.asarray(voice.cepstra[loud & (voice.harmonicity > VOICED)].mean(axis=0))


def accuracy(table: np.ndarray) -> float:
    """Share of vowels recognised when the speaker is left out of the table and his mean taken away."""
    right = 0
    for speaker in range(len(table)):
        others = np.delete(table, speaker, axis=0)
        centred = others - others.mean(axis=1, keepdims=True)
        own = table[speaker] - table[speaker].mean(axis=0)
        spread = centred.std(axis=0).mean(axis=0)
        distance = ((own[:, None] - centred.mean(axis=0)) / spread) ** 2
        right += int((distance.sum(axis=-1).argmin(axis=1) == np.arange(table.shape[1])).sum())
    return right / (table.shape[0] * table.shape[1])


def main() -> None:
    """Print the table."""
    table = np.array([[vowel_cepstra(v, p) for p in VOWELS.values()] for v in VARIANTS])
    centred = table - table.mean(axis=1, keepdims=True)
    print("leave one voice out:", round(accuracy(table), 2))
    for name, row in zip(VOWELS, table.mean(axis=0), strict=True):
        print(f"{name:6s}", ", ".join(f"{value:.2f}" for value in row))
    print("spread", ", ".join(f"{value:.2f}" for value in centred.std(axis=0).mean(axis=0)))


if __name__ == "__main__":
    main()
