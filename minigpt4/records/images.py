"""Which image, and how it becomes pixels.

`ImageRef` is where an image is found, `ImageSpec` how it is opened, resized and normalised. The spec is saved with
weights, because the numbers of a trained model hold for these pixels only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CLIP_FILL = (122, 116, 104)
"""CLIP's mean as levels: int(255 * mean)"""

Fit = Literal["squash", "crop", "pad"]
Resample = Literal["bicubic", "bilinear"]
Rescale = Literal["divide", "multiply"]
Method = Literal["pillow", "fast", "fast_drafts"]


@dataclass(frozen=True)
class ImageRef:
    """An image that can be opened: a file, bytes, or a byte range of a tar.

    Exactly one of `path` (with `offset`/`length` for a tar member) and `data` is set. `digest` is the sha256 of the
    encoded bytes where it is known; caches and feature stores hang on it.
    """

    path: Path | None = None
    offset: int | None = None
    length: int | None = None
    data: bytes | None = field(default=None, repr=False)
    digest: str | None = None
    name: str = ""
    """what error sentences call it: 'shard 00412.tar, member 000123.jpg'"""

    def __post_init__(self) -> None:
        assert (self.path is None) != (self.data is None), "an ImageRef is a path or bytes, not both, not neither"


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """From an encoded image to `pixel_values` [3, size, size].

    Args:
        size: side of the square in pixels.
        opening: 'original' = Pillow's convert("RGB") and nothing else; 'standard' = upright by EXIF, alpha over white,
            16 bit scaled to 8, first frame.
        fit: 'squash' = both sides to `size`, aspect ignored; 'crop' = the shorter side to `size`, then the central
            square; 'pad' = centred on a square of `fill`, which is then resized.
        fill: RGB levels of the padding; the default is CLIP's mean colour, as LLaVA pads.
        resample: filter of the two passes, the horizontal one first and then the vertical one, in two explicit calls,
            since Pillow 13 changed the order of one call.
        rescale: 'divide' = levels / 255 in float32; 'multiply' = levels * (1 / 255) in float64, rounded to float32, as
            transformers' NumPy image processors.
        mean, std: of the three channels.
        method: 'pillow' decodes and resizes, to the same bytes everywhere; 'fast' is twice as fast, within 2 levels of
            that; 'fast_drafts' decodes large JPEGs at a part of their size, too (`processors/fast_images.py`).
    """

    size: int
    opening: str = "standard"
    fit: Fit = "squash"
    fill: tuple[int, int, int] = CLIP_FILL
    resample: Resample = "bicubic"
    rescale: Rescale = "divide"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    method: Method = "pillow"
