"""Instructions in LLaVA's form: a JSON list of {"id", "image", "conversations"} beside a folder of images."""

from __future__ import annotations

from minigpt4.common.registry import builders
from minigpt4.datasets.config import DatasetConfig, annotations_of, folder_of
from minigpt4.datasets.dataset import RecordDataset
from minigpt4.datasets.formats.json_files import read_json_list
from minigpt4.datasets.instructions import ImageRecords


@builders.register("llava_instruct")
class LlavaInstruct:
    """`build_info.annotations` is the JSON; images are named relative to `build_info.storage`."""

    Config = DatasetConfig
    default_yaml: dict[str, str] = {}

    @staticmethod
    def build(config: DatasetConfig, split: str, name: str = "llava_instruct") -> RecordDataset:
        info = config.build_info.at(split)
        records = read_json_list(annotations_of(info, "conversations.json"))
        return RecordDataset(name, records, ImageRecords(folder_of(info), config.text_processor.of(split)))
