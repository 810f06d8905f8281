"""LAION pairs with BLIP's synthetic captions: stage 1 (facts/minigpt4.md §4.1, §4.2)."""

from __future__ import annotations

from minigpt4.common.registry import builders
from minigpt4.datasets.captioned_shards import CaptionSource, captioned_shards
from minigpt4.datasets.config import DatasetConfig


@builders.register("laion")
class Laion:
    """img2dataset tars; captions cleaned by the text processor."""

    Config = DatasetConfig
    default_yaml = {"default": "datasets/laion/defaults.yaml"}

    @staticmethod
    def build(config: DatasetConfig, split: str, name: str = "laion") -> CaptionSource:
        return captioned_shards(name, config, split)
