"""Images faster than by Pillow and all but equal: libjpeg-turbo by itself, and torch's resize of whole numbers.

`ImageSpec.method` asks for it: a value of its own, as a trained model's numbers hold for its pixels. `fast` is within
2 levels of 255 of Pillow's pixels, and at most 1 % of them differ (JPEGs are decoded to the same bytes; torch's uint8
antialiasing does columns first and then rows, as we do, and rounds its weights). `fast_drafts` also decodes large JPEGs
at 1/2, 1/4 or 1/8 of their size, never below twice the size that is wanted; details then differ by more. Whatever is
not a plain, whole JPEG is opened by Pillow (`decoding.py`), which judges it.
"""

from __future__ import annotations

import importlib.util
import logging
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from minigpt4.processors.decoding import MIN_SIDE, draft_factor, draft_image, image_name, orientation_of, read_bytes
from minigpt4.records.images import ImageRef, ImageSpec

log = logging.getLogger(__name__)

DRAFT_MARGIN = 2
"""a draft's sides are at least so many times those that are wanted; with 1, details are off by up to half the range"""

_JPEG = b"\xff\xd8\xff"
_EXIF_OR_XMP, _START_OF_SCAN = 0xE1, 0xDA
_PLAIN = ("YCbCr", "Gray")
"""colours of JPEGs that both decoders turn into the same RGB"""


def fast_rgb(ref: ImageRef, spec: ImageSpec, max_pixels: int) -> np.ndarray:
    """The image as uint8 [H, W, 3], a draft of it where the spec allows one. Raises `ImageError` as `open_image`."""
    encoded = read_bytes(ref)
    held = ImageRef(data=encoded, name=image_name(ref))
    shorter_side = DRAFT_MARGIN * spec.size if spec.method == "fast_drafts" else None
    levels = _decoded(held, encoded, max_pixels, shorter_side) if encoded.startswith(_JPEG) else None
    if levels is None:
        return np.array(draft_image(held, spec.opening, max_pixels=max_pixels, shorter_side=shorter_side))
    if spec.opening == "original" or not _may_be_turned(encoded):
        return levels
    return _upright(levels, orientation_of(held))


def _decoded(held: ImageRef, encoded: bytes, max_pixels: int, shorter_side: int | None) -> np.ndarray | None:
    """By libjpeg-turbo; None for a JPEG that is damaged in any way, too large or small, or of other colours."""
    decoder = _decoder()
    if decoder is None:
        return None
    try:
        height, width, colours, _ = decoder.decode_jpeg_header(encoded)
        if colours not in _PLAIN or height * width > max_pixels or min(height, width) < MIN_SIDE:
            return None
        factor = draft_factor(width, height, shorter_side)
        least = {} if factor == 1 else {"min_height": -(-height // factor), "min_width": -(-width // factor)}
        levels: np.ndarray = decoder.decode_jpeg(encoded, "RGB", **least)
        return levels
    except ValueError as error:
        log.debug("%s: left to Pillow (%s)", held.name, error)
        return None


def _may_be_turned(jpeg: bytes) -> bool:
    """False where no EXIF and no XMP stand before the pixels: only they say that an image is not upright."""
    place = 2
    while place + 4 <= len(jpeg) and jpeg[place] == 0xFF:
        code = jpeg[place + 1]
        if code == _START_OF_SCAN:
            return False
        if code == _EXIF_OR_XMP or not 0xC0 <= code <= 0xFE:
            break
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    return True


def fast_fitted(levels: np.ndarray, spec: ImageSpec) -> Tensor:
    """uint8 [H, W, 3] -> the square that a spec asks for, uint8 [3, S, S]: squashed, cropped or padded."""
    if spec.fit == "pad":
        levels = _padded(levels, spec.fill)
    image = torch.from_numpy(levels).permute(2, 0, 1).unsqueeze(0)  # channels last; a copy would cost more
    height, width = levels.shape[:2]
    if spec.fit == "squash" or width == height:
        return fast_resized(image, spec.size, spec.size, spec.resample)[0].contiguous()
    shorter = min(height, width)
    new_height, new_width = (spec.size if side == shorter else int(spec.size * side / shorter)
                             for side in (height, width))
    image = fast_resized(image, new_width, new_height, spec.resample)
    top, left = (new_height - spec.size) // 2, (new_width - spec.size) // 2
    return image[0, :, top : top + spec.size, left : left + spec.size].contiguous()


def fast_resized(image: Tensor, width: int, height: int, resample: str) -> Tensor:
    """uint8 [1, 3, H, W], channels last, to these sides: columns first, then rows, within torch's one call."""
    return interpolate(image, size=(height, width), mode=resample, antialias=True)


def _padded(levels: np.ndarray, fill: tuple[int, int, int]) -> np.ndarray:
    """As `resizing.padded`."""
    height, width = levels.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), fill, dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = levels
    return square


def _upright(levels: np.ndarray, orientation: int) -> np.ndarray:
    """Turned as EXIF's 1 to 8 say."""
    if orientation in (5, 6, 7, 8):
        levels = levels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        levels = levels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        levels = levels[::-1]
    return np.ascontiguousarray(levels)


@cache
def _decoder() -> Any:
    """simplejpeg; None where it is not installed: Pillow decodes to the same bytes and takes longer."""
    if importlib.util.find_spec("simplejpeg") is None:
        log.info("images are decoded by Pillow; faster, to the same bytes: pip install 'minigpt4[fast]'")
        return None
    return importlib.import_module("simplejpeg")
