"""Image processors: from an `ImageRef` to `pixel_values` [3, S, S] float32, by a config that is data.

`blip2_image_eval`: squash. `blip2_image_train`: squash or random crop, as `model.behaviour` says (April and August
2023: crop; newest and standard: squash). `augmented_image_train`: ours, for small data sets trained from nothing.
All three are one class; they differ in the defaults of their config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from minigpt4.common.errors import UserError
from minigpt4.common.registry import image_processors
from minigpt4.processors.opening import MAX_PIXELS, open_image
from minigpt4.processors.resizing import cropped, random_box, resized, to_pixel_values
from minigpt4.records.images import CLIP_MEAN, CLIP_STD, ImageRef, ImageSpec


@dataclass(frozen=True, kw_only=True)
class ImageProcessorConfig:
    """`vis_processor.train` or `.eval` of a data set."""

    name: str = "blip2_image_eval"
    """blip2_image_eval, blip2_image_train or augmented_image_train"""
    image_size: int = 224
    """side of the square that the vision part sees, in pixels"""
    mean: tuple[float, float, float] | None = None
    """three channel means; null = those of CLIP"""
    std: tuple[float, float, float] | None = None
    """three channel deviations; null = those of CLIP"""
    min_scale: float = 0.5
    """least share of the area that a random crop keeps"""
    max_scale: float = 1.0
    """largest share of the area that a random crop keeps"""
    crop: Literal["none", "random_resized"] | None = None
    """none or random_resized; null = as the processor's name and model.behaviour say"""
    flip: float | None = None
    """share of images that are mirrored left to right; null = 0.5 with augmented_image_train, else 0"""
    brightness: float | None = None
    """largest change of brightness, 0.2 = between 0.8 and 1.2; null = 0.2 with augmented_image_train, else 0"""
    max_pixels: int = MAX_PIXELS
    """images with more pixels are refused before decoding"""

    def __post_init__(self) -> None:
        if self.image_size < 1:
            raise UserError("config.value", where="image_size", what=f"is {self.image_size}", fix="use 1 or more")
        if not 0 < self.min_scale <= self.max_scale <= 1:
            raise UserError("config.value", where="min_scale", what=f"is {self.min_scale}, max_scale {self.max_scale}",
                            fix="use 0 < min_scale <= max_scale <= 1")


class ImageProcessor(Protocol):
    """What data sets, chat and recipes ask of any image processor."""

    spec: ImageSpec

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> Tensor:
        """Encoded image -> `pixel_values` [3, S, S] float32; `generator` feeds what is random."""


class SquashedImages:
    """Open, perhaps crop, mirror and brighten, squash to a square, normalise."""

    Config = ImageProcessorConfig
    spec: ImageSpec

    def __init__(self, config: ImageProcessorConfig, opening: str = "standard") -> None:
        self.config = config
        mean, std = config.mean or CLIP_MEAN, config.std or CLIP_STD
        self.spec = ImageSpec(size=config.image_size, opening=opening, mean=mean, std=std)
        self._mean, self._std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> Tensor:
        image = open_image(ref, self.spec.opening, max_pixels=self.config.max_pixels)
        image = self._varied(image, generator)
        return to_pixel_values(resized(image, self.spec.size), self._mean, self._std)

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


_AUGMENTED: Mapping[str, Any] = {"crop": "random_resized", "flip": 0.5, "brightness": 0.2}


def _filled(config: ImageProcessorConfig, defaults: Mapping[str, Any]) -> ImageProcessorConfig:
    """The config with the defaults of its name where it says nothing itself."""
    missing = {key: value for key, value in defaults.items() if getattr(config, key) is None}
    return replace(config, **missing)


@image_processors.register("blip2_image_eval")
class EvaluationImages:
    """Squash to the square, nothing random."""

    Config = ImageProcessorConfig

    @staticmethod
    def build(config: ImageProcessorConfig, opening: str = "standard", train_crop: str = "none") -> SquashedImages:
        return SquashedImages(_filled(config, {"crop": "none"}), opening)


@image_processors.register("blip2_image_train")
class TrainingImages:
    """Squash, or random crop first where `train_crop` (a consequence of `model.behaviour`) says so."""

    Config = ImageProcessorConfig

    @staticmethod
    def build(config: ImageProcessorConfig, opening: str = "standard", train_crop: str = "none") -> SquashedImages:
        return SquashedImages(_filled(config, {"crop": train_crop}), opening)


@image_processors.register("augmented_image_train")
class AugmentedImages:
    """Random crop, mirror and brightness, each by its own key."""

    Config = ImageProcessorConfig

    @staticmethod
    def build(config: ImageProcessorConfig, opening: str = "standard", train_crop: str = "none") -> SquashedImages:
        return SquashedImages(_filled(config, _AUGMENTED), opening)


def build_image_processor(
    config: ImageProcessorConfig, opening: str = "standard", train_crop: str = "none", *, where: str = ""
) -> ImageProcessor:
    """The processor a config names.

    Args:
        config: `vis_processor.train` or `.eval`.
        opening: 'original' or 'standard' (see `processors.opening`); follows from `model.behaviour`.
        train_crop: what `blip2_image_train` does where its config is silent: 'none' or 'random_resized'.
        where: place of the config for the error sentence of an unknown name.
    """
    processor: ImageProcessor = image_processors.get(config.name, where=where).build(config, opening, train_crop)
    return processor
