"""The preview engine: a portrait that talks, drawn on the CPU.

portrait: `lips` → `mouth_shapes` → `fields`, `interior`, `eyes`, `head` → `puppet`, which draws a `pose`
speech:   `voice` → `vowels`, `lip_sync` → `acting`, which makes one pose a frame
"""

from models.preview.engine import PreviewEngine

__all__ = ["PreviewEngine"]
