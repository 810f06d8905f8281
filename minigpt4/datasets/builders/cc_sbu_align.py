"""The detailed descriptions of stage 2: `filter_cap.json` beside `image/<image_id>.<any image type>`.

Source: docs/originals/minigpt4.md#data-stage2.

Captions are learned as they stand: the original configures a text processor here and does not use it.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.registry import builders
from minigpt4.datasets.config import DatasetConfig, annotations_of, folder_of
from minigpt4.datasets.dataset import RecordDataset, checked_caption
from minigpt4.datasets.formats.json_files import read_json_list
from minigpt4.records.conversations import Conversation, caption_conversation
from minigpt4.records.images import ImageRef


@builders.register("cc_sbu_align")
class CcSbuAlign:
    """`{"annotations": [{"image_id", "caption"}, …]}` or the bare list."""

    Config = DatasetConfig
    default_yaml = {"default": "datasets/cc_sbu/align.yaml"}

    @staticmethod
    def build(config: DatasetConfig, split: str, name: str = "cc_sbu_align") -> RecordDataset:
        info = config.build_info.at(split)
        records = read_json_list(annotations_of(info, "filter_cap.json"))
        return RecordDataset(name, records, AlignRecords(folder_of(info) / "image"))


@dataclass(frozen=True)
class AlignRecords:
    """Reads one annotation; its image is the file in `folder` whose stem is the image_id."""

    folder: Path

    def __call__(self, record: object) -> Conversation:
        if not isinstance(record, Mapping) or "image_id" not in record:
            raise UserError("data.record", what="has no 'image_id'", fix="see docs/data.md for the layout")
        caption = checked_caption(record.get("caption"))
        return caption_conversation(self._image(str(record["image_id"])), caption)

    def _image(self, image_id: str) -> ImageRef:
        path = self.folder / f"{image_id}.jpg"
        if not path.exists():
            others = sorted(self.folder.glob(f"{glob.escape(image_id)}.*"))
            if not others:
                raise UserError("image.missing", where=f"{self.folder}/{image_id}.*", what="image file is missing")
            path = others[0]
        return ImageRef(path=path, name=str(path))
