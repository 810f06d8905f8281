"""From an RGB image to `pixel_values`: crop, two one-axis bicubic passes, scale, normalise.

The horizontal pass comes first and the vertical one second, in two explicit calls: Pillow 13 changed the order of one
call, which moves pixels by up to 21 levels of 255. Same bytes with Pillow 12 and 13
(docs/originals/minigpt4.md#resize-order).
The random box is torchvision's RandomResizedCrop drawn from the same torch generator in the same order, so that the
boxes of the original come out of its seeds; torchvision itself breaks transformers here and is not a dependency.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from minigpt4.records.images import ImageSpec, Resample, Rescale

CROP_RATIO = (3 / 4, 4 / 3)
"""width to height of a random crop, as in the original"""

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

_TRIES = 10


class Box(NamedTuple):
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def fitted(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """The square image that a spec asks for: squashed, cropped or padded."""
    if spec.fit == "pad":
        image = padded(image, spec.fill)
    if spec.fit == "squash" or image.width == image.height:
        return resized(image, spec.size, spec.size, spec.resample)
    shorter = min(image.size)
    width, height = (spec.size if side == shorter else int(spec.size * side / shorter) for side in image.size)
    image = resized(image, width, height, spec.resample)
    left, top = (width - spec.size) // 2, (height - spec.size) // 2
    return image.crop((left, top, left + spec.size, top + spec.size))


def padded(image: Image.Image, fill: tuple[int, int, int]) -> Image.Image:
    """In the middle of a square of one colour; where a pixel is left over, it is on the right or below."""
    side = max(image.size)
    square = Image.new(image.mode, (side, side), fill)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def resized(image: Image.Image, width: int, height: int, resample: Resample = "bicubic") -> Image.Image:
    """To these sides, aspect ignored: columns first, then rows."""
    wide = image.resize((width, image.height), FILTERS[resample])
    return wide.resize((width, height), FILTERS[resample])


def cropped(image: Image.Image, box: Box) -> Image.Image:
    """The part of the image inside the box (the filter of a later resize sees nothing outside it)."""
    return image.crop((box.left, box.top, box.left + box.width, box.top + box.height))


def to_pixel_values(image: Image.Image, mean: Tensor, std: Tensor, *, rescale: Rescale = "divide") -> Tensor:
    """RGB image [H, W] -> float32 [3, H, W], normalised per channel. mean and std are [3, 1, 1]."""
    return normalised(to_levels(image), mean, std, rescale=rescale)


def to_levels(image: Image.Image) -> Tensor:
    """RGB image [H, W] -> uint8 [3, H, W]."""
    return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).contiguous()


def normalised(levels: Tensor, mean: Tensor, std: Tensor, *, rescale: Rescale = "divide") -> Tensor:
    """uint8 [..., 3, H, W] -> float32 of that shape; mean and std are [3, 1, 1]. Of any device."""
    if rescale == "multiply":
        shares = levels.to(torch.float64).mul_(1 / 255).to(torch.float32)
    else:
        shares = levels.to(torch.float32).div_(255)
    return shares.sub_(mean).div_(std)


def random_box(
    width: int, height: int, scale: tuple[float, float], generator: torch.Generator | None = None
) -> Box:
    """Draw a crop of `scale` of the area and a ratio within `CROP_RATIO`, after torchvision's RandomResizedCrop.

    Ten tries; if none fits, the largest central box within the ratios. None draws from torch's global generator.
    """
    shortest, longest = torch.log(torch.tensor(CROP_RATIO)).tolist()
    for _ in range(_TRIES):
        area = width * height * _uniform(*scale, generator)
        ratio = torch.exp(torch.empty(1).uniform_(shortest, longest, generator=generator)).item()
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = _below(height - box_height + 1, generator)
            return Box(top, _below(width - box_width + 1, generator), box_height, box_width)
    return _central_box(width, height)


def _central_box(width: int, height: int) -> Box:
    narrowest, widest = CROP_RATIO
    box_width = min(width, round(height * widest)) if width / height > widest else width
    box_height = round(width / narrowest) if width / height < narrowest else height
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def _uniform(low: float, high: float, generator: torch.Generator | None) -> float:
    return torch.empty(1).uniform_(low, high, generator=generator).item()


def _below(end: int, generator: torch.Generator | None) -> int:
    return int(torch.randint(0, end, (1,), generator=generator).item())
