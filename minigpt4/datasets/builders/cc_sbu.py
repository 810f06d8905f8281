"""CC3M, CC12M and SBU pairs with BLIP's synthetic captions: stage 1 (docs/originals/minigpt4.md#data-stage1)."""

from __future__ import annotations

from minigpt4.common.registry import builders
from minigpt4.datasets.captioned_shards import CaptionedShardsConfig, CaptionSource, captioned_shards


@builders.register("cc_sbu")
class CcSbu:
    """img2dataset tars; captions cleaned by the text processor."""

    Config = CaptionedShardsConfig
    default_yaml = {"default": "datasets/cc_sbu/defaults.yaml"}

    @staticmethod
    def build(config: CaptionedShardsConfig, split: str, name: str = "cc_sbu") -> CaptionSource:
        return captioned_shards(name, config, split)
