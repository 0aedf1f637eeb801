"""The preview engine: a portrait that talks, drawn on the CPU.

portrait: `lips` → `mouth_shapes` → `fields`, `interior`, `eyes`, `head` → `puppet`, which draws a `pose`
speech:   `models.voice` → `vowels`, `lip_sync` → `acting`, which makes one pose a frame

Tested in `tests/models/preview/test_puppet.py`: `eyes`, `face_frame`, `fields`, `grid`, `head`, `interior`
Tested in `tests/models/preview/test_puppet.py`: `lips`, `mouth`, `mouth_shapes`, `pose`
Tested in `tests/models/preview/test_puppet.py`: `sampling`, `slit`, `smooth`
Tested in `tests/models/preview/test_lip_sync.py`: `vowels`
Tested in `tests/models/preview/test_engine.py`: `acting`
"""

from models.preview.engine import PreviewEngine

__all__ = ["PreviewEngine"]
