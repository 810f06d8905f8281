"""Image-caption shards wherever they are: local ones through an index, remote and piped ones as a stream."""

from __future__ import annotations

from dataclasses import dataclass

from minigpt4.common.config.paths import is_remote
from minigpt4.common.errors import UserError
from minigpt4.datasets.config import DatasetConfig
from minigpt4.datasets.formats.shards import ShardDataset, open_shards
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.records.conversations import IMAGE_MARK

CaptionSource = ShardDataset | ShardStream


@dataclass(frozen=True, kw_only=True)
class CaptionedShardsConfig(DatasetConfig):
    """Image-caption shards, and what the captions are answers to."""

    question: str | None = None
    """what the user asks of every image, with <ImageHere> where it stands; null = a prompt of the model"""

    def __post_init__(self) -> None:
        if self.question is not None and self.question.count(IMAGE_MARK) != 1:
            raise UserError("config.value", where="question", what=f"is {self.question!r}",
                            fix=f"write {IMAGE_MARK} once, where the image stands")


def captioned_shards(name: str, config: DatasetConfig, split: str) -> CaptionSource:
    """The samples of `build_info.storage` at a split. Raises `UserError` if it cannot be read."""
    info = config.build_info.at(split)
    text_processor = config.text_processor.of(split)
    question = (config.question if isinstance(config, CaptionedShardsConfig) else None) or IMAGE_MARK
    if is_remote(info.storage):
        return ShardStream.open(name, info.storage, text_processor, info.samples_per_shard, question)
    return open_shards(name, info.storage, text_processor, info.index, question)
