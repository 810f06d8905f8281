"""Which image, what is drawn on it, and how it becomes pixels.

`ImageRef` is where an image is to be had, `ImageSpec` how it is opened, resized and normalised. The spec is saved with
weights, because the numbers of a trained model hold for these pixels only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Mark:
    """A shape to draw, in pixels of the source image (point, box, ellipse, scribble, …)."""

    shape: str
    points: tuple[tuple[float, float], ...]
    color: str = "red"
    width: int = 3


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
    marks: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        assert (self.path is None) != (self.data is None), "an ImageRef is a path or bytes, not both, not neither"


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """From an encoded image to `pixel_values` [3, size, size].

    `opening`: 'original' = Pillow's convert("RGB") and nothing else; 'standard' = upright by EXIF, alpha over white,
    16 bit scaled to 8, first frame (facts/minigpt4.md §4.6). Resizing is bicubic, the horizontal pass first and then
    the vertical one, in two explicit calls, since Pillow 13 changed the order of one call.
    """

    size: int
    opening: str = "standard"
    resize: str = "squash_horizontal_first"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    tokens_per_image: int = 0
    """filled by the system from the built visual path; 0 = not known yet"""
