"""The one way to open images: from an `ImageRef` to an RGB Pillow image, or a sentence that says why not.

Two ways of decoding (docs/originals/minigpt4.md#image-opening):
`original` = Pillow's convert("RGB") and nothing else, as MiniGPT-4 did (EXIF ignored, alpha dropped, 16 bit clipped);
`standard` = upright by EXIF, alpha over white, 16 bit scaled to 8, first frame, no side under 2 pixels.
The content decides the format, never the ending of the name, and only those of `READ_FORMATS` are tried. A damaged
image is refused whole: no grey half of one ever reaches a model. Nothing is decoded before its size is known.
"""

from __future__ import annotations

import io
import logging
import warnings

import numpy as np
from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.common.files import open_regular, shown
from minigpt4.processors.file_formats import kind_of_bytes, open_formats, unread_format
from minigpt4.processors.metadata import without_descriptions
from minigpt4.records.images import ImageRef

log = logging.getLogger(__name__)

MAX_PIXELS = 178_956_970
"""Pillow's own limit against decompression bombs (2 x 89 M); 0.5 GiB once decoded"""

MIN_SIDE = 2
"""1x1 tracking pixels are frequent in crawled data"""

MAX_BYTES = 1 << 31
"""of an encoded image; one of MAX_PIXELS without compression, 16 bit and four channels, has 1.4 GB"""

DRAFT_FACTORS = (8, 4, 2)
"""by which a JPEG can be made smaller while it is decoded"""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(UserError):
    """An image that cannot be used; `what` is the reason, `where` the image."""


def open_image(ref: ImageRef, opening: str = "standard", *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image as 8-bit RGB.

    Args:
        ref: where its encoded bytes are.
        opening: 'original' or 'standard', see the module.
        max_pixels: larger images are refused before decoding.

    Raises:
        ImageError: missing, empty, not an image, damaged, too large or (standard) too small.
    """
    return draft_image(ref, opening, max_pixels=max_pixels)


def draft_image(ref: ImageRef, opening: str = "standard", *, max_pixels: int = MAX_PIXELS,
                shorter_side: int | None = None) -> Image.Image:
    """The same; a JPEG at 1/2, 1/4 or 1/8 of its size where that leaves its shorter side with at least so many pixels.

    None decodes everything whole.
    """
    name = image_name(ref)
    encoded = read_bytes(ref)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd EXIF, palettes and sizes: judged here, not there
        try:
            image = _decode(encoded, name, max_pixels, shorter_side)
            return image.convert("RGB") if opening == "original" else _standard_rgb(image, name)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # decoders raise nearly everything on damaged files
            raise _damaged(name, error) from error


def is_animated(ref: ImageRef) -> bool:
    """True for an image that moves, of which only the first frame is used. Raises `ImageError` as `open_image` does."""
    name = image_name(ref)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(getattr(_identified(read_bytes(ref), name), "is_animated", False))
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # as in open_image
            raise _damaged(name, error) from error


def draft_factor(width: int, height: int, shorter_side: int | None) -> int:
    """The largest factor that leaves at least so many pixels on the shorter side; 1 where it is None."""
    if shorter_side is None:
        return 1
    return next((factor for factor in DRAFT_FACTORS if min(width, height) // factor >= shorter_side), 1)


def orientation_of(ref: ImageRef) -> int:
    """How an image is turned, EXIF's 1 to 8. Raises `ImageError` for what is not an image."""
    name = image_name(ref)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _orientation(_identified(read_bytes(ref), name), name)


def read_bytes(ref: ImageRef) -> bytes:
    """The encoded bytes of an image: from memory, a file or a byte range of a tar."""
    if ref.data is not None:
        return ref.data
    assert ref.path is not None
    name = image_name(ref)
    try:
        with open_regular(ref.path) as file:
            length = file.seek(0, 2) if ref.length is None else ref.length
            if length > MAX_BYTES:
                raise ImageError("image.large", where=name,
                                 what=f"image file has {length} bytes, more than {MAX_BYTES}")
            file.seek(ref.offset or 0)
            return file.read(length)
    except FileNotFoundError as error:
        raise missing(ref.name or str(ref.path)) from error
    except OSError as error:
        what = error.strerror if str(error.strerror).startswith("is ") else f"cannot be read ({error.strerror})"
        raise ImageError("image.unreadable", where=name, what=str(what)) from error


def missing(path: str) -> ImageError:
    """The error for a file that is not there."""
    fix = "backslashes do not separate folders here: write /" if "\\" in path else ""
    return ImageError("image.missing", where=shown(path), what="image file is missing", fix=fix)


def image_name(ref: ImageRef) -> str:
    """What error sentences call an image."""
    return shown(ref.name or ref.path or "image in memory")


def _decode(encoded: bytes, name: str, max_pixels: int, shorter_side: int | None) -> Image.Image:
    try:
        image = _identified(encoded, name)
        if image.width * image.height > max_pixels:
            raise _too_large(name, f"{image.width}x{image.height} = {image.width * image.height}", max_pixels)
        factor = draft_factor(image.width, image.height, shorter_side)
        if factor > 1:
            image.draft("RGB", (image.width // factor, image.height // factor))
        image.load()
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error).split("(")[-1].split(" ")[0], max_pixels) from error
    return image


def _identified(encoded: bytes, name: str) -> Image.Image:
    """The image with its size known and its pixels still packed."""
    if not encoded:
        raise ImageError("image.empty", where=name, what="empty image file")
    try:
        return Image.open(io.BytesIO(without_descriptions(encoded)), formats=open_formats())
    except Image.UnidentifiedImageError as error:
        unread = unread_format(encoded)
        if unread is None:
            raise ImageError("image.format", where=name, what=f"not an image ({kind_of_bytes(encoded)})") from error
        raise ImageError("image.format", where=name, what=f"is {unread.name} file, which is not read here",
                         fix=unread.fix) from error


def _standard_rgb(image: Image.Image, name: str) -> Image.Image:
    if min(image.size) < MIN_SIDE:
        reason = f"image is {image.width}x{image.height}, below the minimum side"
        raise ImageError("image.small", where=name, what=reason, fix=f"use images of at least {MIN_SIDE} pixels a side")
    transpose = _UPRIGHT.get(_orientation(image, name))
    if image.mode == "F":
        raise ImageError("image.format", where=name, what="image has floating-point pixels", fix="save it with 8 bits")
    if image.mode.startswith("I"):
        image = _scaled_to_8_bits(image)
    elif image.has_transparency_data:
        image = _over_white(image)
    rgb = image.convert("RGB")
    return rgb if transpose is None else rgb.transpose(transpose)


def _orientation(image: Image.Image, name: str) -> int:
    """EXIF orientation 1 to 8; damaged EXIF counts as none, since the pixels beside it are sound."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except MemoryError:
        raise
    except Exception as error:  # as many kinds as in the pixels
        log.debug("%s: EXIF is damaged (%s), taken as upright", name, error)
        return 1


def _scaled_to_8_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    return Image.fromarray(np.rint(values.clip(0, 65535) / 257).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def _damaged(name: str, error: Exception) -> ImageError:
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return ImageError("image.truncated", where=name, what="image data ends early")
    return ImageError("image.damaged", where=name, what=f"image data is damaged ({str(error) or type(error).__name__})")


def _too_large(name: str, pixels: str, max_pixels: int) -> ImageError:
    return ImageError("image.large", where=name, what=f"image has {pixels} pixels, more than {max_pixels}",
                      fix="make it smaller first")
