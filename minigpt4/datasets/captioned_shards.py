"""Image-caption shards wherever they lie: local ones by an own index, remote and piped ones as a stream."""

from __future__ import annotations

from minigpt4.common.config.paths import is_remote
from minigpt4.datasets.config import DatasetConfig
from minigpt4.datasets.formats.shards import ShardDataset, open_shards
from minigpt4.datasets.formats.stream import ShardStream

CaptionSource = ShardDataset | ShardStream


def captioned_shards(name: str, config: DatasetConfig, split: str) -> CaptionSource:
    """The samples of `build_info.storage` at a split. Raises `UserError` where it cannot be read."""
    info = config.build_info.at(split)
    text_processor = config.text_processor.of(split)
    if is_remote(info.storage):
        return ShardStream.open(name, info.storage, text_processor, info.samples_per_shard)
    return open_shards(name, info.storage, text_processor, info.index)
