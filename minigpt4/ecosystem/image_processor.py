"""Our image processor in transformers' clothes: opened and squashed exactly as in training and chat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import load_image

from minigpt4.inference.images import as_image_ref
from minigpt4.processors.images import ImageProcessorConfig, build_image_processor
from minigpt4.records.images import CLIP_MEAN, CLIP_STD, ImageRef

REMOTE = ("http://", "https://", "data:")


class MiniGPT4ImageProcessor(BaseImageProcessor):
    """Images to `pixel_values` [N, 3, size, size].

    Args:
        size: side of the square in pixels.
        opening: standard (upright, alpha over white) or original.
        image_mean, image_std: of the three channels.
    """

    model_input_names = ["pixel_values"]

    def __init__(self, size: int = 224, opening: str = "standard", image_mean: Sequence[float] = CLIP_MEAN,
                 image_std: Sequence[float] = CLIP_STD, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.opening = opening
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)

    def preprocess(self, images: Any, **kwargs: Any) -> BatchFeature:
        """One image or a (nested) list of them: paths, addresses, bytes or Pillow images.

        The sizes are the model's; no keyword changes them.
        """
        mean, std = (tuple(map(float, values)) for values in (self.image_mean, self.image_std))
        config = ImageProcessorConfig(image_size=self.size, mean=mean, std=std)  # type: ignore[arg-type]
        processor = build_image_processor(config, self.opening)
        return BatchFeature({"pixel_values": torch.stack([processor(_opened(image)) for image in _each(images)])})


def _each(images: Any) -> Iterator[Any]:
    if isinstance(images, list | tuple):
        for image in images:
            yield from _each(image)
    else:
        yield images


def _opened(image: Any) -> ImageRef:
    remote = isinstance(image, str) and image.startswith(REMOTE)
    return as_image_ref(load_image(image) if remote else image)
