"""Goldens of the speech features: spectrogram, hidden states, and their layout per video frame."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from models.echomimic.speech_features import (
    SAMPLES_PER_ROW,
    SpeechTokens,
    log_mel,
    rows_around,
    speech_features,
)
from tests.parity.bench import Arrays, Bench, Facts, fingerprint
from tests.parity.rows import AnyRow, Broken, compare, compare_statistics

MEL = 2e-5
FEATURES = 1e-4
TABLE = "n_chunks_by_feature_rows_and_fps"
STEM = "whisper"


@torch.inference_mode()
def rows(bench: Bench, stem: str) -> Iterator[AnyRow]:
    """Compare `whisper`: each signal it describes, and the table of lengths."""
    facts, arrays = bench.facts(stem), bench.arrays(stem)
    for name in (name for name in facts if name != TABLE):
        yield from _signal(bench, name, facts[name], arrays)
    yield from arrays.unread(stem)
    for count, by_fps in facts[TABLE].items():
        ours = [len(rows_around(int(count), int(fps))) for fps in by_fps]
        yield compare(f"{stem} chunks of {count} rows at {'/'.join(by_fps)} fps", ours, list(by_fps.values()))


def _signal(bench: Bench, name: str, facts: Facts, arrays: Arrays) -> Iterator[AnyRow]:
    try:
        pcm = _pcm(bench, name, facts, arrays)
    except LookupError as error:
        yield Broken(f"{STEM} {name} signal", str(error))
        return
    mel = torch.cat(list(log_mel(pcm, torch.device("cpu"))), dim=1)
    features = speech_features(bench.tiny.speech, pcm, len(pcm) // SAMPLES_PER_ROW)
    yield compare_statistics(f"{STEM} {name} mel", mel, facts["mel"], MEL)
    yield compare_statistics(f"{STEM} {name} features", features, facts["features"], FEATURES)
    for row, golden in facts["rows"].items():
        yield compare_statistics(f"{STEM} {name} features row {row}", features[int(row)], golden, FEATURES)
    for fps, golden in facts["chunks"].items():
        tokens = SpeechTokens(features, rows_around(len(features), int(fps)))
        chunks = tokens.of(torch.arange(len(tokens)))
        yield compare_statistics(f"{STEM} {name} chunks at {fps} fps", chunks, golden, FEATURES)
        key = f"{name}_chunks_fps{fps}_rows_0_7_last"
        if key in arrays:
            yield compare(f"{STEM} {key}", chunks[[0, 7, -1]], arrays[key], FEATURES)
    yield from _whole(name, mel, features, arrays)


def _pcm(bench: Bench, name: str, facts: Facts, arrays: Arrays) -> np.ndarray:
    digest = facts["pcm"]["sha256_16_of_s16"]
    shipped = arrays.get(f"{name}_pcm_s16_16k")
    if shipped is None:
        return bench.pcm(facts["file"], facts["pcm"]["n"], digest)
    if fingerprint(shipped) != digest:
        raise LookupError(f"{name}_pcm_s16_16k does not have the hash {digest}")
    return np.asarray(shipped)


def _whole(name: str, mel: Tensor, features: Tensor, arrays: Arrays) -> Iterator[AnyRow]:
    """What the golden keeps in full, or of which it keeps some rows."""
    kept = range(len(features))
    candidates = {
        f"{name}_mel": (mel, MEL),
        f"{name}_mel_every8": (mel[:, ::8], MEL),
        f"{name}_feat": (features[arrays.get(f"{name}_feat_rows", kept)], FEATURES),
        f"{name}_feat_fp32": (features[arrays.get(f"{name}_feat_rows", kept)], FEATURES),
    }
    for key, (ours, tolerance) in candidates.items():
        if key in arrays:
            yield compare(f"{STEM} {key}", ours, arrays[key], tolerance)
