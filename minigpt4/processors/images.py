"""Image processors: from an `ImageRef` to `pixel_values` [3, S, S] float32, as the model's `ImageSpec` says.

`blip2_image_eval`: nothing random. `blip2_image_train`: random crop first where `model.behaviour` says so (April and
August 2023). `augmented_image_train`: crop, mirror and brightness, for small data sets trained from scratch.
All three are one class; they differ in the defaults of their config.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from minigpt4.common.config.fields import check_values
from minigpt4.common.config.ranges import PositiveInt, PositiveShare, Share, Side
from minigpt4.common.errors import UserError
from minigpt4.common.registry import image_processors
from minigpt4.processors.decoding import MAX_PIXELS, open_image
from minigpt4.processors.fast_images import fast_fitted, fast_rgb
from minigpt4.processors.resizing import cropped, fitted, normalised, random_box, to_levels
from minigpt4.records.images import ImageRef, ImageSpec

Crop = Literal["none", "random_resized"]


@dataclass(frozen=True, kw_only=True)
class ImageProcessorConfig:
    """`vis_processor.train` or `.eval` of a data set."""

    name: str = "blip2_image_eval"
    """blip2_image_eval, blip2_image_train or augmented_image_train"""
    image_size: Side = 224
    """side of the square that the vision part sees, in pixels"""
    mean: tuple[float, float, float] | None = None
    """three channel means; null = the model's"""
    std: tuple[float, float, float] | None = None
    """three channel deviations; null = the model's"""
    min_scale: PositiveShare = 0.5
    """least share of the area that a random crop keeps"""
    max_scale: PositiveShare = 1.0
    """largest share of the area that a random crop keeps"""
    crop: Crop | None = None
    """none or random_resized; null = as the processor's name and model.behaviour say"""
    flip: Share | None = None
    """share of images that are mirrored left to right; null = 0.5 with augmented_image_train, else 0"""
    brightness: Share | None = None
    """largest change of brightness, 0.2 = between 0.8 and 1.2; null = 0.2 with augmented_image_train, else 0"""
    max_pixels: PositiveInt = MAX_PIXELS
    """images with more pixels are refused before decoding"""

    def __post_init__(self) -> None:
        check_values(self)
        if self.min_scale > self.max_scale:
            raise UserError("config.value", where="min_scale", what=f"is {self.min_scale}, max_scale {self.max_scale}",
                            fix="use a min_scale that is not above max_scale")


class ImageProcessor(Protocol):
    """What data sets, chat and recipes ask of any image processor."""

    spec: ImageSpec

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> Tensor:
        """Encoded image -> `pixel_values` [3, S, S] float32; `generator` feeds what is random."""

    def random_changes(self) -> str:
        """What is done to an image by chance, in words; empty where its pixels are always the same."""


class FittedImages:
    """Decode, perhaps crop, mirror and brighten, fit to the square, normalise.

    Args:
        spec: what the model wants.
        config: what is varied in training.
    """

    Config = ImageProcessorConfig

    def __init__(self, spec: ImageSpec, config: ImageProcessorConfig | None = None) -> None:
        self.spec = spec
        self.config = config or ImageProcessorConfig(image_size=spec.size)
        self._mean, self._std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> Tensor:
        return normalised(self.levels(ref, generator), self._mean, self._std, rescale=self.spec.rescale)

    def levels(self, ref: ImageRef, generator: torch.Generator | None = None) -> Tensor:
        """The same before it is normalised: uint8 [3, S, S], a quarter of the bytes."""
        spec = self.spec
        if spec.method == "pillow":
            image = open_image(ref, spec.opening, max_pixels=self.config.max_pixels)
            return to_levels(fitted(self._varied(image, generator), spec))
        levels = fast_rgb(ref, spec, self.config.max_pixels)
        if self.random_changes():
            levels = np.array(self._varied(Image.fromarray(levels), generator))
        return fast_fitted(levels, spec)

    def random_changes(self) -> str:
        config = self.config
        changes = {"crop": config.crop == "random_resized", "flip": bool(config.flip),
                   "brightness": bool(config.brightness)}
        return ", ".join(name for name, is_on in changes.items() if is_on)

    def _varied(self, image: Image.Image, generator: torch.Generator | None) -> Image.Image:
        config = self.config
        if config.crop == "random_resized":
            box = random_box(image.width, image.height, (config.min_scale, config.max_scale), generator)
            image = cropped(image, box)
        if config.flip and torch.rand(1, generator=generator).item() < config.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if config.brightness:
            change = (2 * torch.rand(1, generator=generator).item() - 1) * config.brightness
            image = ImageEnhance.Brightness(image).enhance(1 + change)
        return image


def _fitted_images(config: ImageProcessorConfig, spec: ImageSpec, crop: Crop, **varied: float) -> FittedImages:
    """The processor of a config, with the defaults of its name where it says nothing itself."""
    defaults = {"crop": crop, **varied}
    missing = {key: value for key, value in defaults.items() if getattr(config, key) is None}
    spec = replace(spec, size=config.image_size, mean=config.mean or spec.mean, std=config.std or spec.std)
    return FittedImages(spec, replace(config, **missing))  # type: ignore[arg-type]


@image_processors.register("blip2_image_eval")
class EvaluationImages:
    """Fitted to the square, nothing random."""

    Config = ImageProcessorConfig

    @staticmethod
    def build(config: ImageProcessorConfig, spec: ImageSpec, train_crop: Crop = "none") -> FittedImages:
        return _fitted_images(config, spec, "none")


@image_processors.register("blip2_image_train")
class TrainingImages:
    """Fitted to the square, a random crop first where `train_crop` (a consequence of `model.behaviour`) says so."""

    Config = ImageProcessorConfig

    @staticmethod
    def build(config: ImageProcessorConfig, spec: ImageSpec, train_crop: Crop = "none") -> FittedImages:
        return _fitted_images(config, spec, train_crop)


@image_processors.register("augmented_image_train")
class AugmentedImages:
    """Random crop, mirror and brightness, each by its own key."""

    Config = ImageProcessorConfig

    @staticmethod
    def build(config: ImageProcessorConfig, spec: ImageSpec, train_crop: Crop = "none") -> FittedImages:
        return _fitted_images(config, spec, "random_resized", flip=0.5, brightness=0.2)


def build_image_processor(config: ImageProcessorConfig, spec: ImageSpec, train_crop: Crop = "none", *,
                          where: str = "") -> ImageProcessor:
    """The processor a config names.

    Args:
        config: `vis_processor.train` or `.eval`; its size, mean and std win over the spec's.
        spec: the model's.
        train_crop: what `blip2_image_train` does where its config is silent; follows from `model.behaviour`.
        where: place of the config for the error sentence of an unknown name.
    """
    processor: ImageProcessor = image_processors.get(config.name, where=where).build(config, spec, train_crop)
    return processor
