"""Turns a photo so that the face in it is upright, where neither its pixels nor its EXIF are."""

from dataclasses import dataclass

from PIL import Image

from models.face import Face, find_faces

# The three other ways that a photo can lie, by the degrees that turn it upright, clockwise.
TURNS = {
    90: Image.Transpose.ROTATE_270,  # Pillow counts counterclockwise
    270: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
}

MOST_ROLL = 45  # degrees; a face that is tilted further is more upright if the photo is turned

# The detectors also see an upright face in one that is upside down, but are less sure: 0.65, where the
# upright one has 0.92.
SURE = 0.75


@dataclass(frozen=True)
class UprightPhoto:
    """A photo as it is animated.

    Attributes:
        image: RGB, turned.
        faces: the faces in it, the largest first.
        turned: by how many degrees it was turned, clockwise.
    """

    image: Image.Image
    faces: list[Face]
    turned: int = 0

    @property
    def confidence(self) -> float:
        """How sure it is that the largest face is upright; 0 if it is not, or if there is none."""
        if not self.faces or abs(self.faces[0].roll) > MOST_ROLL:
            return 0
        return self.faces[0].confidence


def turn_upright(photo: Image.Image) -> UprightPhoto:
    """Find the faces in a photo; if none is upright, look whether one is when the photo is turned.

    Args:
        photo: an RGB image.
    """
    as_it_is = UprightPhoto(photo, find_faces(photo))
    if as_it_is.confidence >= SURE:
        return as_it_is
    best = as_it_is
    for degrees, transposition in TURNS.items():
        image = photo.transpose(transposition)
        best = max(
            best, UprightPhoto(image, find_faces(image), degrees), key=lambda turned: turned.confidence
        )
    return best if best.confidence >= SURE else as_it_is
