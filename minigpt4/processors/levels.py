"""Pixels that travel as whole numbers: a quarter of the bytes to collate, pin and copy; the device normalises them.

N images, S their side. The same operations on the same numbers: what the model sees is equal to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt4.processors.images import FittedImages
from minigpt4.processors.resizing import normalised
from minigpt4.records.batches import PIXELS
from minigpt4.records.images import ImageRef, ImageSpec

LEVELS = "pixel_levels"
"""name of the levels among a batch's `images`: [N, 3, S, S] uint8"""


@dataclass(frozen=True)
class LevelsOf:
    """Reads an image as the levels that a processor would normalise."""

    processor: FittedImages

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        return {LEVELS: self.processor.levels(ref, generator)}


class Normalisation:
    """What turns a batch's levels into pixels, on the device they are on.

    Args:
        spec: how the model sees images.
        device: where the levels will be.
    """

    def __init__(self, spec: ImageSpec, device: torch.device) -> None:
        self._rescale = spec.rescale
        self._mean, self._std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (spec.mean, spec.std))

    def __call__(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The images with `pixel_values` [N, 3, S, S] float32 in the place of their levels; others as they are."""
        others = {name: value for name, value in images.items() if name != LEVELS}
        if LEVELS not in images:
            return others
        return {**others, PIXELS: normalised(images[LEVELS], self._mean, self._std, rescale=self._rescale)}
