"""Where to cut out the square that an engine animates, and which part of it is face.

Pixel arithmetic only; knows nothing of files or of how a face is found. The rounding is that of EchoMimic's
inference script (antgroup/echomimic, infer_audio2vid_acc.py), so that the same face box gives the same crop.
Unlike in that script, a face that touches the border keeps its mask, and a rectangle outside the image still
gives a crop.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, edges at whole numbers; x1 and y1 are the first column and row outside it."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    def dilated(self, ratio: float) -> "Box":
        """Grown by `ratio` of its width on the left and right, and of its height at the top and bottom."""
        dx, dy = int(self.width * ratio), int(self.height * ratio)
        return Box(self.x0 - dx, self.y0 - dy, self.x1 + dx, self.y1 + dy)

    def clamped(self, width: int, height: int) -> "Box":
        """The part inside a `width` × `height` image; if there is none, the nearest pixel."""
        x0, y0 = min(max(self.x0, 0), width - 1), min(max(self.y0, 0), height - 1)
        return Box(x0, y0, max(min(self.x1, width), x0 + 1), max(min(self.y1, height), y0 + 1))

    def centred_square(self) -> "Box":
        """The largest square inside it, around its centre."""
        side = min(self.width, self.height)
        x0 = (self.x0 + self.x1) // 2 - side // 2
        y0 = (self.y0 + self.y1) // 2 - side // 2
        return Box(x0, y0, x0 + side, y0 + side)

    def relative_to(self, other: "Box") -> "Box":
        """The same rectangle, counted from the upper left corner of `other`."""
        return Box(self.x0 - other.x0, self.y0 - other.y0, self.x1 - other.x0, self.y1 - other.y0)


def crop_square(face: Box, crop_ratio: float, width: int, height: int) -> Box:
    """The square to cut out of a `width` × `height` image around the face box."""
    return face.dilated(crop_ratio).clamped(width, height).centred_square()


def mask_box(face: Box, mask_ratio: float, width: int, height: int) -> Box:
    """The part of a `width` × `height` image that counts as face."""
    return face.dilated(mask_ratio).clamped(width, height)
