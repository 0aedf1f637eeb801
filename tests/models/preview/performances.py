"""A portrait speaks a clip, and MediaPipe watches."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from models.engine import Control, Scene
from models.params import GenerationParams
from models.portrait import load_portrait
from models.preview import PreviewEngine
from models.speech import Speech, load_speech
from tests.models.preview.mouth_measure import FaceMotion, envelope, follows, pauses, watch

CLIPS = Path(__file__).parents[2] / "data" / "speech"


@dataclass(frozen=True)
class Performance:
    """One portrait speaking one clip."""

    speech: Speech
    fps: int
    motion: FaceMotion

    @property
    def loudness(self) -> np.ndarray:
        return envelope(self.speech.beginning(60), self.fps, len(self.motion.opening))

    @property
    def pauses(self) -> np.ndarray:
        return pauses(self.speech.beginning(60), self.fps, len(self.motion.opening))

    @property
    def correlation_and_lag(self) -> tuple[float, int]:
        return follows(self.motion.opening, self.loudness)


def never() -> bool:
    return False


def clip(name: str) -> Speech:
    """A clip of `tests/data/speech`."""
    return load_speech(CLIPS / f"{name}.flac", never)


def perform(image: Image.Image, clip_name: str, folder: Path) -> Performance:
    """Render with the default parameters and watch, holding a block of frames at a time."""
    path, params, speech = folder / "portrait.png", GenerationParams(), clip(clip_name)
    image.save(path)
    count = int(speech.duration * params.fps)
    scene = Scene(load_portrait(path, params), speech, params, count)
    frames = PreviewEngine().frames(scene, Control(lambda share: None, never))
    return Performance(speech, round(params.fps), watch(frames))
