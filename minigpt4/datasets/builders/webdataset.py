"""Image-caption tars of any origin, local or streamed: KEY.jpg (or any image type), KEY.json or KEY.txt."""

from __future__ import annotations

from minigpt4.common.registry import builders
from minigpt4.datasets.captioned_shards import CaptionedShardsConfig, CaptionSource, captioned_shards


@builders.register("webdataset")
class CaptionedTars:
    """Tars of pairs; captions cleaned by the text processor."""

    Config = CaptionedShardsConfig
    default_yaml: dict[str, str] = {}

    @staticmethod
    def build(config: CaptionedShardsConfig, split: str, name: str = "webdataset") -> CaptionSource:
        return captioned_shards(name, config, split)
