import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage.data import camera

from models.crop import Box
from models.face import find_faces
from models.image_decoder import decode
from models.notices import Notice
from models.params import GenerationParams
from models.portrait import load_portrait

PARAMS = GenerationParams(width=256, height=256)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def sixteen_bit(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image.quantize(256) if mode == "P" else image.convert(mode)


def difference(image: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(image.astype(int) - other).mean())


@pytest.fixture(scope="module")
def portrait(astronaut_file):
    return load_portrait(astronaut_file, PARAMS)


def test_cuts_out_the_face_in_the_requested_size(portrait):
    assert portrait.image.shape == (256, 256, 3)
    assert portrait.mask.shape == (256, 256)
    assert portrait.image.dtype == portrait.mask.dtype == np.uint8
    assert portrait.landmarks.shape == (478, 3)
    assert portrait.landmarks.dtype == np.float32
    assert portrait.notices == ()


def test_landmarks_are_in_pixels_of_the_cut_out_image(portrait):
    (face,) = find_faces(Image.fromarray(portrait.image))
    again = face.landmarks
    height_of_face = np.linalg.norm(again[10, :2] - again[152, :2])

    assert np.abs(again - portrait.landmarks)[:, :2].mean() < 0.01 * height_of_face


def test_the_mask_covers_the_face_and_little_else(portrait):
    x, y = portrait.landmarks[:468, 0].astype(int), portrait.landmarks[:468, 1].astype(int)

    assert (portrait.mask[y, x] == 255).all()
    assert 0.3 < (portrait.mask == 255).mean() < 0.6
    assert portrait.mask[0].max() == portrait.mask[-1].max() == 0


def test_the_crop_ratio_decides_how_much_is_seen_around_the_face(astronaut_file):
    def width_of_face(ratio: float) -> float:
        params = GenerationParams(width=256, height=256, facecrop_dilation_ratio=ratio)
        return float(np.ptp(load_portrait(astronaut_file, params).landmarks[:468, 0]))

    assert width_of_face(0.0) > 1.3 * width_of_face(0.3) > 1.5 * width_of_face(0.6)


def test_the_mask_ratio_widens_the_mask(astronaut_file, portrait):
    params = GenerationParams(width=256, height=256, facemask_dilation_ratio=0.0)

    assert load_portrait(astronaut_file, params).mask.sum() < 0.8 * portrait.mask.sum()


def test_unequal_sides_stretch_the_square_and_say_so(astronaut_file, portrait):
    stretched = load_portrait(astronaut_file, GenerationParams(width=512, height=256))

    assert stretched.image.shape == (256, 512, 3)
    assert stretched.landmarks[:, :2] == pytest.approx(portrait.landmarks[:, :2] * [2, 1], abs=1e-3)
    assert stretched.notices == (Notice.of("stretched", width=512, height=256),)


def test_without_a_face_the_centred_square_is_used_and_all_of_it_is_mask(nobody_image, tmp_path):
    portrait = load_portrait(
        saved(nobody_image, tmp_path / "nobody.png"), GenerationParams(width=180, height=180)
    )

    assert portrait.landmarks is None
    assert (portrait.mask == 255).all()
    assert difference(portrait.image, np.asarray(nobody_image)[:, 10:190]) == 0
    assert portrait.notices == (Notice.of("no_face"),)


def test_of_several_faces_the_largest_speaks(astronaut_image, tmp_path):
    head = astronaut_image.crop((140, 0, 320, 240))
    scene = Image.new("RGB", (900, 600), "grey")
    scene.paste(head, (30, 30))
    scene.paste(head.resize((360, 480)).transpose(Image.Transpose.FLIP_LEFT_RIGHT), (450, 60))
    portrait = load_portrait(saved(scene, tmp_path / "two.png"), PARAMS)

    assert portrait.notices == (Notice.of("several_faces", count=2),)
    assert (
        portrait.landmarks[33, 1] > portrait.landmarks[263, 1]
    )  # only the larger one is mirrored: its other eye is lower


def test_crop_and_mask_follow_the_detector_that_is_given(astronaut_file, astronaut_image):
    params = GenerationParams(width=90, height=90, facecrop_dilation_ratio=0.0, facemask_dilation_ratio=0.0)
    portrait = load_portrait(astronaut_file, params, lambda _photo: Box(300, 20, 390, 140))

    assert difference(portrait.image, np.asarray(astronaut_image)[35:125, 300:390]) == 0
    assert (portrait.mask == 255).all()
    assert portrait.landmarks[1, 0] < 0  # of the face, which is elsewhere
    assert portrait.notices == ()


def test_a_face_that_the_detector_misses_is_cropped_by_its_landmarks(astronaut_file, portrait):
    missed = load_portrait(astronaut_file, PARAMS, lambda _photo: None)

    assert difference(missed.image, portrait.image) == difference(missed.mask, portrait.mask) == 0
    assert missed.notices == (Notice.of("face_box_estimated"),)


def test_a_face_that_only_the_detector_finds_is_a_face(nobody_image, tmp_path):
    path = saved(nobody_image, tmp_path / "nobody.png")
    portrait = load_portrait(path, PARAMS, lambda _photo: Box(60, 60, 100, 100))

    assert portrait.landmarks is None
    assert not portrait.mask.all()
    assert portrait.notices == ()


def test_a_photo_in_which_neither_finds_a_face_has_one_notice(nobody_image, tmp_path):
    path = saved(nobody_image, tmp_path / "nobody.png")

    assert load_portrait(path, PARAMS, lambda _photo: None).notices == (Notice.of("no_face"),)


@pytest.mark.parametrize("orientation", [6, 8])
def test_the_detector_is_given_the_photo_upright(orientation, astronaut_image, tmp_path):
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(astronaut_image.transpose(undo[orientation]), tmp_path / "turned.png", exif=exif)
    seen: list[Image.Image] = []
    load_portrait(path, PARAMS, seen.append)

    assert difference(np.asarray(seen[0]), np.asarray(astronaut_image)) == 0


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("p.jpg", "RGB"),
        ("cmyk.jpg", "CMYK"),
        ("p.png", "RGB"),
        ("palette.png", "P"),
        ("p.webp", "RGB"),
        ("p.avif", "RGB"),
        ("p.bmp", "RGB"),
        ("p.tiff", "RGB"),
        ("p.gif", "P"),
    ],
)
def test_reads_every_promised_format(name, mode, astronaut_image, portrait, tmp_path):
    path = saved(in_mode(astronaut_image, mode), tmp_path / name)

    assert difference(load_portrait(path, PARAMS).image, portrait.image) < 8


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_reads_sixteen_bit_grey_at_its_brightness(suffix, astronaut_image, tmp_path):
    grey = load_portrait(saved(astronaut_image.convert("L"), tmp_path / f"8{suffix}"), PARAMS)
    path = saved(sixteen_bit(astronaut_image), tmp_path / f"16{suffix}")

    assert difference(load_portrait(path, PARAMS).image, grey.image) < 1


@pytest.mark.parametrize("transparent", [0, 100, 255])
def test_sixteen_bit_grey_with_a_transparent_tone_is_white_only_there(transparent, astronaut_image, tmp_path):
    grey = np.asarray(astronaut_image.convert("L"))
    path = saved(sixteen_bit(astronaut_image), tmp_path / "16.png", transparency=transparent * 257)
    image, _ = decode(path, draft=False)

    assert (np.asarray(image)[..., 0] == np.where(grey == transparent, 255, grey)).all()
    assert load_portrait(path, PARAMS).landmarks is not None


def bitmap(image: Image.Image, header: int, masks: tuple[int, ...], alpha: int = 0) -> bytes:
    """A BMP of 32 bits a pixel that says where red, green, blue and alpha are."""
    order = sorted(range(4), key=lambda channel: masks[channel])
    bands = [*image.split(), Image.new("L", image.size, alpha)]
    pixels = np.dstack([np.asarray(bands[channel]) for channel in order])[::-1].tobytes()
    sizes = struct.pack("<IiiHHIIiiII", header, *image.size, 1, 32, 3, len(pixels), 2835, 2835, 0, 0)
    told = (sizes + struct.pack("<4I", *masks)).ljust(header, b"\0")
    start = 14 + header
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + told + pixels


BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
RGBA = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)


@pytest.mark.parametrize("masks", [BGRA, RGBA], ids=["BGRA", "RGBA"])
@pytest.mark.parametrize("header", [56, 108, 124])
def test_a_bmp_whose_alpha_is_0_everywhere_is_opaque(header, masks, astronaut_image, portrait, tmp_path):
    path = tmp_path / "clipboard.bmp"
    path.write_bytes(bitmap(astronaut_image, header, masks))

    assert difference(load_portrait(path, PARAMS).image, portrait.image) == 0


def test_a_bmp_with_some_alpha_is_transparent_where_it_says(astronaut_image, portrait, tmp_path):
    path = tmp_path / "pale.bmp"
    path.write_bytes(bitmap(astronaut_image, 108, BGRA, alpha=128))
    image = load_portrait(path, PARAMS).image

    assert image.mean() == pytest.approx((portrait.image.mean() + 255) / 2, abs=2)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".avif"])
@pytest.mark.parametrize("exif", [None, {}, {0x0112: 1}], ids=["no EXIF", "EXIF", "EXIF says upright"])
def test_xmp_does_not_turn_the_photo(exif, suffix, orientation, astronaut_image, tmp_path):
    """Browsers do not follow it."""
    path = tmp_path / f"photo{suffix}"
    options: dict[str, Any] = {}
    if exif is not None:
        options["exif"] = Image.Exif()
        options["exif"].update({0x010F: "a camera", 0x011A: 300.0, 0x0128: 2, **exif})
    picture = astronaut_image.crop((0, 0, 300, 200))
    if suffix == ".png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp(orientation).decode())
    elif suffix == ".tiff":
        options["tiffinfo"] = {700: xmp(orientation)}
    else:
        options["xmp"] = xmp(orientation)
    image, _ = decode(saved(picture, path, **options), draft=False)

    assert difference(np.asarray(image), np.asarray(picture)) < 8


def xmp(orientation: int) -> bytes:
    name = "http://ns.adobe.com/tiff/1.0/"
    description = f'<rdf:Description xmlns:tiff="{name}" tiff:Orientation="{orientation}"/>'
    syntax = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    graph = f'<rdf:RDF xmlns:rdf="{syntax}">{description}</rdf:RDF>'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{graph}</x:xmpmeta>'.encode()


def test_judges_by_content_not_by_name(astronaut_image, portrait, tmp_path):
    path = saved(astronaut_image, tmp_path / "image.png", format="JPEG")

    assert difference(load_portrait(path, PARAMS).image, portrait.image) < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_the_photo_as_its_exif_says(orientation, astronaut_image, portrait, tmp_path):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = astronaut_image.transpose(undo[orientation]) if orientation in undo else astronaut_image
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(stored, tmp_path / "turned.png", exif=exif)

    assert difference(load_portrait(path, PARAMS).image, portrait.image) == 0


def test_transparent_parts_become_white(astronaut_image, tmp_path):
    cut_out = astronaut_image.convert("RGBA")
    cut_out.paste((0, 0, 0, 0), (0, 0, 512, 60))
    portrait = load_portrait(saved(cut_out, tmp_path / "cut-out.png"), PARAMS)

    assert (portrait.image[0] == 255).all()


def test_only_the_first_frame_of_an_animation_counts(astronaut_image, nobody_image, tmp_path):
    later = [nobody_image.resize(astronaut_image.size)]
    path = saved(astronaut_image, tmp_path / "moving.gif", save_all=True, append_images=later)

    assert load_portrait(path, PARAMS).landmarks is not None


def test_a_single_pixel_is_an_image_without_a_face(tmp_path):
    portrait = load_portrait(saved(Image.new("RGB", (1, 1), "red"), tmp_path / "dot.png"), PARAMS)

    assert portrait.landmarks is None
    assert (portrait.image == (255, 0, 0)).all()


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_lying_photo_is_turned_and_the_task_says_how(degrees, astronaut_image, portrait, tmp_path):
    path = saved(astronaut_image.rotate(degrees), tmp_path / "lying.png")
    turned = load_portrait(path, PARAMS)

    assert turned.notices == (Notice.of("photo_turned", degrees=degrees),)
    assert difference(turned.image, portrait.image) == 0


def test_a_mask_over_the_mouth_is_a_warning_and_the_portrait_is_made(astronaut_image, tmp_path):
    masked = astronaut_image.copy()
    masked.paste((150, 190, 220), (180, 135, 275, 195))
    portrait = load_portrait(saved(masked, tmp_path / "mask.png"), PARAMS)

    assert portrait.notices == (Notice.of("mouth_covered"),)
    assert portrait.landmarks is not None


def test_a_profile_is_a_warning_and_the_portrait_is_made(tmp_path):
    portrait = load_portrait(saved(Image.fromarray(camera()), tmp_path / "profile.png"), PARAMS)

    assert portrait.notices == (Notice.of("face_turned_away"),)
    assert portrait.landmarks is not None


def test_what_the_decoder_noticed_is_passed_on(astronaut_image, tmp_path):
    path = saved(astronaut_image, tmp_path / "photo.jpg")
    path.write_bytes(path.read_bytes()[:-1])

    assert [notice.code for notice in load_portrait(path, PARAMS).notices] == ["image_incomplete"]
