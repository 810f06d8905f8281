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
from minigpt4.common.files import is_regular
from minigpt4.common.registry import builders
from minigpt4.datasets.config import DatasetConfig, annotations_of, folder_of
from minigpt4.datasets.dataset import RecordDataset, checked_caption
from minigpt4.datasets.formats.json_files import read_json_list
from minigpt4.datasets.record_fields import nearest_form, quoted
from minigpt4.processors.decoding import missing
from minigpt4.processors.file_formats import READ_ENDINGS, UNREAD_ENDINGS
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
            raise UserError("data.record", what="has no 'image_id'", fix=nearest_form(record, ("image_id",)))
        if "caption" not in record:
            raise UserError("data.caption", what="no caption", fix=nearest_form(record, ("caption",)))
        caption = checked_caption(record["caption"])
        return caption_conversation(self._image(record["image_id"]), caption)

    def _image(self, written: object) -> ImageRef:
        """The file of that stem whose ending is an image's; sidecars (0.txt, 0.caption) stand beside it."""
        image_id = str(written) if isinstance(written, str | int) else ""
        if not image_id or Path(image_id).is_absolute() or ".." in Path(image_id).parts:
            raise UserError("data.record", what=f"'image_id' is {quoted(written)}",
                            fix="give the name of the image without its ending")
        path = self.folder / f"{image_id}.jpg"
        if not is_regular(path):
            others = sorted(self.folder.glob(f"{glob.escape(image_id)}.*"), key=_likelihood)
            if not others:
                raise missing(f"{self.folder}/{image_id}.*")
            path = others[0]
        return ImageRef(path=path, name=str(path))


def _likelihood(path: Path) -> tuple[int, str]:
    """Sort key: files that end like an image first, then images that are not read here, then anything else."""
    ending = path.suffix[1:].lower()
    return (0 if ending in READ_ENDINGS else 1 if ending in UNREAD_ENDINGS else 2), path.name
