"""The preview engine: warps the portrait on the CPU, no weights and no GPU."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from models.engine import Control, Scene
from models.errors import ImageError
from models.portrait import FaceDetector
from models.preview.acting import act
from models.preview.puppet import Puppet
from models.speech import SAMPLE_RATE
from models.voice import listen

BLOCK = 8  # frames held at a time
DRAWN_AT_ONCE = 2  # frames; encoding takes a third of what drawing takes, and two cores are to be used


class PreviewEngine:
    """Makes a portrait speak by warping it: a simple animation, but it talks."""

    name = "preview"
    device = "cpu"
    face_detector: FaceDetector | None = None

    def __init__(self) -> None:
        # One thread draws a picture this small faster than OpenCV's pool (7.8 against 9.0 ms a frame at
        # 512×512 on two cores).
        cv2.setNumThreads(1)
        listen(np.zeros(SAMPLE_RATE, np.float32))  # loads librosa's compiled parts: seconds

    def frames(self, scene: Scene, control: Control) -> Iterator[np.ndarray]:
        """Yield `scene.frame_count` frames, uint8 RGB [n, height, width, 3], n up to `BLOCK`.

        The mouth follows the speech; the seed decides when the eyes blink and how the head sways.

        Raises:
            ImageError: no face was found in the portrait.
            Cancelled: the caller asked to stop.
        """
        portrait, params = scene.portrait, scene.params
        if portrait.landmarks is None:
            raise ImageError("face_required")
        puppet = Puppet(portrait.image, portrait.landmarks)
        speech = scene.speech.beginning(params.length / params.fps)
        # The speech may end within the last frame.
        filled = min(scene.frame_count, len(scene.speech.samples) * params.fps // SAMPLE_RATE)
        poses = act(speech, params.fps, scene.frame_count, params.seed, filled)
        with ThreadPoolExecutor(DRAWN_AT_ONCE, thread_name_prefix="preview") as threads:
            for start in range(0, scene.frame_count, BLOCK):
                control.stop_if_asked()
                block = poses[start : start + BLOCK]
                yield np.stack(list(threads.map(puppet.draw, block)))
                control.progress((start + len(block)) / scene.frame_count)

    def check_device(self) -> None:
        """Do nothing: a CPU that stopped responding could not say so."""
