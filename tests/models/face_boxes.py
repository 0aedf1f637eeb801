"""Photos with the face boxes that the authors' detector, facenet-pytorch's MTCNN, gives on them."""

import json
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import skimage.data
from PIL import Image

DATA = Path(__file__).parents[1] / "data"
LFW_SUBSET = Path(skimage.data.__file__).with_name("lfw_subset.npy")

Case = dict  # a photo and what is done with it, as the files say

ASTRONAUT: list[Case] = json.loads((DATA / "face_boxes_astronaut.json").read_text())["cases"]
OTHERS: list[Case] = json.loads((DATA / "face_boxes.json").read_text())["cases"]


def photo(case: Case) -> Image.Image:
    """The photo cropped, flipped, scaled and turned as the file of boxes says."""
    x, y, width, height = case["crop_xywh"]
    pixels = np.asarray(_source(case.get("photo", "astronaut")))[y : y + height, x : x + width]
    pixels = np.ascontiguousarray(pixels[:, ::-1] if case["flip"] else pixels)
    pixels = cv2.resize(pixels, None, fx=case["scale"], fy=case["scale"], interpolation=cv2.INTER_LINEAR)
    return turned(Image.fromarray(pixels), case["rotate_deg"])


def turned(image: Image.Image, degrees: float) -> Image.Image:
    turn = cv2.getRotationMatrix2D((image.width / 2, image.height / 2), degrees, 1)
    return Image.fromarray(
        cv2.warpAffine(np.asarray(image), turn, image.size, borderMode=cv2.BORDER_REPLICATE)
    )


def _source(name: str) -> Image.Image:
    image: Image.Image
    if name == "grace_hopper":
        image = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    elif name == "lfw_subset":
        faces = (np.load(LFW_SUBSET)[:100] * 255).astype(np.uint8)
        image = Image.fromarray(
            np.vstack([np.hstack(faces[first : first + 10]) for first in range(0, 100, 10)])
        )
    else:
        image = Image.fromarray(getattr(skimage.data, name)())
    return image.convert("RGB")
