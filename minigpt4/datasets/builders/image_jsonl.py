"""A folder of images and a JSONL of texts: the simplest form of own data (docs/data.md)."""

from __future__ import annotations

from minigpt4.common.registry import builders
from minigpt4.datasets.config import DatasetConfig, annotations_of, folder_of
from minigpt4.datasets.dataset import RecordDataset
from minigpt4.datasets.formats.lines import JsonLines
from minigpt4.datasets.instructions import ImageRecords


@builders.register("image_jsonl")
class ImageJsonl:
    """One line an image: {"image": "a.png", "caption": "…"}, "text" or LLaVA's "conversations"."""

    Config = DatasetConfig
    default_yaml: dict[str, str] = {}

    @staticmethod
    def build(config: DatasetConfig, split: str, name: str = "image_jsonl") -> RecordDataset:
        info = config.build_info.at(split)
        records = JsonLines.open(annotations_of(info, "captions.jsonl"))
        return RecordDataset(name, records, ImageRecords(folder_of(info), config.text_processor.of(split)))
