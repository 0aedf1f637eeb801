"""Which points of MediaPipe's 478-point face mesh mean what.

"Left" and "right" are those of an upright picture, and every chain runs from left to right. Indices follow
MediaPipe's canonical face model (`mediapipe/modules/face_geometry/data/canonical_face_model.obj`).
"""

import numpy as np

FOREHEAD, CHIN_TIP = 10, 152  # their distance is the face height, the unit of every length here
FACE_SIDES = (234, 454)  # in front of the ears
OUTER_EYE_CORNERS = (33, 263)
NOSE_TIP = 1
PHILTRUM = 164
BELOW_LIP = 18

# The red of the lips: its inner edge, its outer edge (vermilion border), and a chain between the two.
UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
UPPER_MIDDLE = (184, 74, 73, 72, 11, 302, 303, 304, 408)
LOWER_MIDDLE = (77, 90, 180, 85, 16, 315, 404, 320, 307)
CORNERS = (61, 76, 62, 78, 308, 292, 306, 291)

# The jaw line and the chin, with the share of the lower lip's way that each point follows: all of it at the
# tip of the chin, none of it at the ears (chosen by eye on opened mouths).
JAW = {
    152: 1.0, 148: 0.97, 377: 0.97, 176: 0.9, 400: 0.9, 149: 0.78, 378: 0.78, 150: 0.6, 379: 0.6,
    136: 0.42, 365: 0.42, 172: 0.24, 397: 0.24, 58: 0.1, 288: 0.1, 132: 0.0, 361: 0.0, 93: 0.0, 323: 0.0,
    234: 0.0, 454: 0.0,
}  # fmt: skip
CHIN = {
    18: 0.97, 83: 0.95, 313: 0.95, 200: 0.93, 201: 0.9, 421: 0.9, 199: 0.92, 208: 0.84, 428: 0.84,
    175: 0.95, 171: 0.93, 396: 0.93,
}  # fmt: skip

# Nose, cheeks, eye sockets: what speech leaves alone.
STILL = (
    1, 2, 4, 98, 327, 94, 168, 6, 197, 195, 5, 48, 278, 129, 358, 50, 280, 101, 330, 36, 266, 205, 425, 116,
    345, 123, 352, 147, 376, 33, 133, 263, 362, 145, 374, 118, 347,
)  # fmt: skip
CHEEKS = (50, 280, 205, 425, 101, 330, 118, 347)

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
    149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

LEFT_UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)
LEFT_LOWER_LID = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_BROW = (46, 53, 52, 65, 55)  # its lower edge
RIGHT_UPPER_LID = (362, 398, 384, 385, 386, 387, 388, 466, 263)
RIGHT_LOWER_LID = (362, 382, 381, 380, 374, 373, 390, 249, 263)
RIGHT_BROW = (285, 295, 282, 283, 276)
BROWS = (*LEFT_BROW, 70, 63, 105, 66, 107, *RIGHT_BROW, 300, 293, 334, 296, 336)


def share_of_jaw() -> tuple[np.ndarray, np.ndarray]:
    """Indices [n] and shares [n] of `JAW`."""
    return np.array(list(JAW)), np.array(list(JAW.values()))
