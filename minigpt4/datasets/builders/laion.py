"""LAION pairs with BLIP's synthetic captions: stage 1 (docs/originals/minigpt4.md#data-stage1)."""

from __future__ import annotations

from minigpt4.common.registry import builders
from minigpt4.datasets.captioned_shards import CaptionedShardsConfig, CaptionSource, captioned_shards


@builders.register("laion")
class Laion:
    """img2dataset tars; captions cleaned by the text processor."""

    Config = CaptionedShardsConfig
    default_yaml = {"default": "datasets/laion/defaults.yaml"}

    @staticmethod
    def build(config: CaptionedShardsConfig, split: str, name: str = "laion") -> CaptionSource:
        return captioned_shards(name, config, split)
