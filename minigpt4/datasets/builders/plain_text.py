"""Text without images, for language models: a .txt with one text a line, or a .jsonl of {"text": …}."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.registry import builders
from minigpt4.datasets.config import DatasetConfig
from minigpt4.datasets.dataset import RecordDataset, checked_caption
from minigpt4.datasets.formats.lines import JsonLines, TextLines
from minigpt4.datasets.record_fields import nearest_form
from minigpt4.processors.captions import TextProcessor
from minigpt4.records.conversations import Conversation, Turn

JSON_LINES = (".jsonl", ".ndjson")


@builders.register("plain_text")
class PlainText:
    """`build_info.storage` is the file; every text is one answer without a question."""

    Config = DatasetConfig
    default_yaml: dict[str, str] = {}

    @staticmethod
    def build(config: DatasetConfig, split: str, name: str = "plain_text") -> RecordDataset:
        path = Path(config.build_info.at(split).storage)
        if not path.is_file():
            raise UserError("data.file", where=str(path), what="is not a file", fix="give a .txt or a .jsonl")
        ending = path.suffix.lower()
        if ending == ".json":
            raise UserError("data.file", where=str(path), what="is JSON, and one text a line is wanted",
                            fix='give a .txt, or a .jsonl with a line {"text": …} for each text')
        records = JsonLines.open(path) if ending in JSON_LINES else TextLines.open(path)
        return RecordDataset(name, records, TextRecords(config.text_processor.of(split)))


@dataclass(frozen=True)
class TextRecords:
    """Reads one text."""

    text_processor: TextProcessor

    def __call__(self, record: object) -> Conversation:
        if isinstance(record, Mapping) and "text" not in record:
            raise UserError("data.caption", what="no caption", fix=nearest_form(record, ("text",)))
        text = record["text"] if isinstance(record, Mapping) else record
        return Conversation((Turn("assistant", self.text_processor(checked_caption(text))),))
