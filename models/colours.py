"""From the colours that an image file means to those of sRGB, which the engines and the video assume."""

from io import BytesIO

from PIL import Image, ImageCms

# Which of Pillow's modes has the values that a profile of each colour space describes (ICC.1:2022, table 19).
MODES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK", "Lab ": "LAB"}

# As browsers do. Profiles of cameras and screens are matrices, for which the intent makes no difference.
INTENT = ImageCms.Intent.PERCEPTUAL


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An RGB image that looks on an sRGB screen as its profile says.

    Args:
        image: without transparency, at most 8 bits per channel; it may be changed.
        profile: an ICC profile; ignored if it is broken or describes another kind of image.
    """
    return _converted(image, profile) or image.convert("RGB")


def _converted(image: Image.Image, profile: bytes) -> Image.Image | None:
    """None if the profile cannot be used."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = MODES.get(source.profile.xcolor_space)
        if mode is None or not _fits(image, mode):
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", INTENT)
        if image.mode != mode:
            image = image.convert(mode)
        # Where it can be done in place, 64 megapixels need no second copy.
        return ImageCms.applyTransform(image, transform, inPlace=mode == "RGB") or image
    except (ImageCms.PyCMSError, OSError):
        return None


def _fits(image: Image.Image, mode: str) -> bool:
    """Whether the image has such values, or stands for them, like a palette or the YCbCr of a TIFF."""
    return image.mode not in ("CMYK", "LAB") if mode == "RGB" else image.mode == mode
