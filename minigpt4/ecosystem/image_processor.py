"""Our image processor behind transformers' interface: images become pixels exactly as in training and chat."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from minigpt4.common.errors import UserError
from minigpt4.inference.images import as_image_ref
from minigpt4.processors.decoding import MAX_BYTES
from minigpt4.processors.images import FittedImages
from minigpt4.records.images import CLIP_FILL, CLIP_MEAN, CLIP_STD, Fit, ImageRef, ImageSpec, Method, Resample, Rescale

REMOTE = ("http://", "https://", "data:")
TIMEOUT = 60
"""seconds without an answer"""


class MiniGPT4ImageProcessor(BaseImageProcessor):
    """Images to `pixel_values` [N, 3, size, size].

    Args: the fields of `records.images.ImageSpec`: mean, std and rescale are `image_mean`, `image_std`, `rescale_by`.
    """

    model_input_names = ["pixel_values"]

    def __init__(self, size: int = 224, opening: str = "standard", image_mean: Sequence[float] = CLIP_MEAN,
                 image_std: Sequence[float] = CLIP_STD, fit: Fit = "squash", fill: Sequence[int] = CLIP_FILL,
                 resample: Resample = "bicubic", rescale_by: Rescale = "divide",
                 method: Method = "pillow", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.opening = opening
        self.fit, self.fill, self.resample, self.rescale_by = fit, list(fill), resample, rescale_by
        self.method = method
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)

    @classmethod
    def of(cls, spec: ImageSpec) -> MiniGPT4ImageProcessor:
        """The processor of a model's pixels."""
        theirs = {"mean": "image_mean", "std": "image_std", "rescale": "rescale_by"}
        return cls(**{theirs.get(name, name): value for name, value in asdict(spec).items()})

    @property
    def spec(self) -> ImageSpec:
        """The pixels it makes."""
        red, green, blue = self.fill
        mean, std = ((values[0], values[1], values[2]) for values in (self.image_mean, self.image_std))
        return ImageSpec(size=self.size, opening=self.opening, fit=self.fit, fill=(red, green, blue),
                         resample=self.resample, rescale=self.rescale_by, mean=mean, std=std, method=self.method)

    def preprocess(self, images: Any, **kwargs: Any) -> BatchFeature:
        """One image or a (nested) list of them: paths, addresses, bytes or Pillow images.

        The sizes are the model's; no keyword changes them.
        """
        processor = FittedImages(self.spec)
        return BatchFeature({"pixel_values": torch.stack([processor(_opened(image)) for image in _each(images)])})


def _each(images: object) -> Iterator[Any]:
    if isinstance(images, list | tuple):
        for image in images:
            yield from _each(image)
    else:
        yield images


def _opened(image: Any) -> ImageRef:
    remote = isinstance(image, str) and image.startswith(REMOTE)
    return as_image_ref(_fetched(image) if remote else image)


def _fetched(address: str) -> bytes:
    """The encoded image at an address; transformers' own way would hand it to every decoder that Pillow has."""
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
            content: bytes = answer.read(MAX_BYTES)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError("image.address", where=address[:80], what=f"cannot be fetched ({error})",
                        fix="check the address, or download the image and give its path") from error
    return content
