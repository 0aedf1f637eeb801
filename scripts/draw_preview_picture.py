"""Draws `docs/images/preview.jpg`: five frames of the example video, at rest and saying different sounds.

python scripts/draw_preview_picture.py
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from skimage.data import astronaut

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from models.params import GenerationParams  # noqa: E402  (the repository is not an installed package)
from models.portrait import load_portrait  # noqa: E402
from models.preview.acting import act  # noqa: E402
from models.preview.pose import Pose  # noqa: E402
from models.preview.puppet import Puppet  # noqa: E402
from models.speech import load_speech  # noqa: E402

SIDE = 256  # pixels of a frame in the picture


def main() -> None:
    """Draw and save."""
    params = GenerationParams()
    speech = load_speech(ROOT / "examples" / "hello.wav", lambda: False)
    with TemporaryDirectory() as folder:
        Image.fromarray(astronaut()).save(Path(folder) / "portrait.png")
        portrait = load_portrait(Path(folder) / "portrait.png", params)
    assert portrait.landmarks is not None
    puppet = Puppet(portrait.image, portrait.landmarks)
    poses = act(speech.samples, params.fps, int(speech.duration * params.fps), params.seed)
    frames = [puppet.draw(pose) for pose in telling(poses)]
    strip = Image.fromarray(np.hstack(frames)).resize((SIDE * len(frames), SIDE), Image.Resampling.LANCZOS)
    strip.save(ROOT / "docs" / "images" / "preview.jpg", quality=90)


def telling(poses: list[Pose]) -> list[Pose]:
    """The moments of the speech that look most different: rest, "ah", "ee", "oo" and a blink."""
    speaking = [pose for pose in poses if pose.blink < 0.1 and pose.opening > 0.35]
    return [
        min(poses, key=lambda pose: (pose.blink + pose.opening, abs(pose.head.yaw))),
        max(speaking, key=lambda pose: pose.opening),
        max(speaking, key=lambda pose: pose.width),
        min(speaking, key=lambda pose: pose.width),
        max(poses, key=lambda pose: pose.blink),
    ]


if __name__ == "__main__":
    main()
