"""A toy system of one system, two encoders, one data set and the real run section: what the engine is tested with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from minigpt4.common import registry
from minigpt4.common.errors import UserError
from minigpt4.runners.config import RETIRED_KEYS, RunConfig

encoders: registry.Registry[object] = registry.Registry("toy encoder", __name__)


@dataclass(frozen=True, kw_only=True)
class SmallEncoder:
    """An encoder with a size."""

    name: str = "small"
    """which encoder"""
    size: int = 8
    """side in pixels"""
    weights: str | None = field(default=None, metadata={"path": "file"})
    """file of the encoder's weights"""
    freeze: bool = True
    """True = does not train"""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError("config.value", where="vision.size", what=f"is {self.size}", fix="use 1 or more")


@dataclass(frozen=True, kw_only=True)
class WideEncoder:
    """An encoder with a width."""

    name: str = "wide"
    """which encoder"""
    width: float = 1.0
    """its width"""


class Small:
    Config = SmallEncoder


class Wide:
    Config = WideEncoder


encoders.add("small", Small)
encoders.add("wide", Wide)


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """The toy model."""

    arch: str = "toy"
    """which system"""
    model_type: str = "one"
    """which packaged YAML"""
    behaviour: Literal["standard", "original"] | None = None
    """standard, or as the original"""
    vision: SmallEncoder | None = field(default_factory=lambda: SmallEncoder(size=12), metadata={"registry": encoders})
    """the encoder"""
    llm: str | None = field(default=None, metadata={"path": "folder", "hub": True})
    """folder of the language model"""
    template: str = ""
    """text around a prompt"""


class Toy:
    Config = ToyConfig
    default_yaml = {"one": "toy_one.yaml", "two": "toy_two.yaml"}
    original_keys = {
        "image_size": ("vision.size", None),
        "freeze_vit": ("vision.freeze", None),
        "encoder": ("vision.name", {"eva": "small"}),
    }
    retired_keys = {"prompt": "it was never read"}

    @staticmethod
    def behaviour_of(arch: str, model_type: str) -> str:
        return "original" if (arch, model_type) == ("old_toy", "one") else "standard"


@dataclass(frozen=True, kw_only=True)
class ImagesAt:
    """Where the images are."""

    storage: str = field(default="", metadata={"path": "shards"})
    """tars of the images"""


@dataclass(frozen=True, kw_only=True)
class ToyDataConfig:
    """A toy data set."""

    build_info: ImagesAt = field(default_factory=ImagesAt)
    """where it is"""
    sample_ratio: float | None = None
    """share in the mixture"""
    sizes: tuple[int, ...] = ()
    """sides in pixels"""
    limit: int | list[int] | None = None
    """largest number, or one a split"""
    mean: tuple[float, float] = (0.0, 1.0)
    """two numbers"""
    encoders: dict[str, SmallEncoder] = field(default_factory=dict, metadata={"registry": encoders})
    """an encoder a split"""


class ToyData:
    Config = ToyDataConfig
    default_yaml = {"default": "toy_data.yaml"}


class ToyRunner:
    Config = RunConfig
    retired_keys = RETIRED_KEYS


def register_toys() -> None:
    """Put the toys beside whatever is registered."""
    registry.systems.add("toy", Toy)
    registry.systems.add("old_toy", Toy)
    registry.builders.add("toy_data", ToyData)
    registry.runners.add("toy_runner", ToyRunner)
