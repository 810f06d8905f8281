"""Image-caption pairs in local tars, as img2dataset writes them: KEY.jpg (or any image type), KEY.json, KEY.txt.

The caption is `json["caption"]`, or the txt where the json has none; it goes through the text processor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.config.paths import expand_shards
from minigpt4.common.errors import UserError
from minigpt4.common.files import open_regular, shown
from minigpt4.datasets.dataset import checked_caption
from minigpt4.datasets.formats.download_report import Downloads, downloads_of
from minigpt4.datasets.formats.index_building import index_shards
from minigpt4.datasets.formats.shard_index import ShardIndex
from minigpt4.datasets.formats.tar_samples import shard_name
from minigpt4.processors.captions import TextProcessor
from minigpt4.records.conversations import IMAGE_MARK, Sample, Unreadable, caption_conversation
from minigpt4.records.images import ImageRef


@dataclass(frozen=True)
class ShardDataset:
    """The samples of an index, in the order of shards and members."""

    name: str
    index: ShardIndex
    text_processor: TextProcessor
    question: str = IMAGE_MARK
    """what the user asks of every image"""

    @property
    def damaged(self) -> Sequence[Unreadable]:
        return self.index.damaged

    def fingerprint(self) -> str:
        """A hash of the tars' index."""
        return self.index.fingerprint()

    @property
    def left_out(self) -> Mapping[str, int]:
        """Members that belong to no sample: how many end so."""
        return self.index.left_out

    @property
    def downloads(self) -> Downloads | None:
        """What became of the rows behind the shards, where img2dataset wrote it beside them."""
        return downloads_of(self.index.shards)

    def __len__(self) -> int:
        return len(self.index)

    def sample(self, number: int, draw: int = 0) -> Sample | Unreadable:
        shard, key = self.index.shard_of(number), self.index.key_of(number)
        sample_id, source = shown(f"{shard.stem}/{key}"), shown(f"{shard_name(shard)}, member {key}")
        try:
            caption = caption_of(self._read(number, "json"), self._read(number, "txt"))
            image = self._image(number, shard, source)
            return Sample(sample_id, source, caption_conversation(image, self.text_processor(caption), self.question))
        except UserError as error:
            return Unreadable.because(sample_id, source, error)

    def _image(self, number: int, shard: Path, source: str) -> ImageRef:
        where = self.index.range_of(number, "image")
        if where is None:
            raise UserError("data.no_image", what="no image beside its caption")
        return ImageRef(path=shard, offset=where[0], length=where[1], name=source)

    def _read(self, number: int, part: str) -> bytes | None:
        where = self.index.range_of(number, part)
        if where is None:
            return None
        try:
            with open_regular(self.index.shard_of(number)) as file:
                file.seek(where[0])
                return file.read(where[1])
        except OSError as error:
            raise UserError("data.shard", what=f"cannot be read ({error.strerror})") from error


def open_shards(name: str, storage: str, text_processor: TextProcessor, keep_in: str | None = None,
                question: str = IMAGE_MARK) -> ShardDataset:
    """The data set of a pattern of local tars or of a folder full of them. Raises `UserError` if there is none."""
    paths = [Path(path) for path in expand_shards(storage)]
    if len(paths) == 1 and paths[0].is_dir():
        paths = sorted(paths[0].glob("*.tar"))
    if not paths:
        raise UserError("data.shards", where=storage, what="contains no .tar", fix="see docs/data.md#shards")
    return ShardDataset(name, index_shards(paths, Path(keep_in) if keep_in else None), text_processor, question)


def caption_of(json_bytes: bytes | None, txt_bytes: bytes | None) -> str:
    """The caption from the members beside an image. Raises `UserError` with the reason if there is none."""
    if json_bytes is None and txt_bytes is None:
        raise UserError("data.caption", what="neither 'json' nor 'txt' beside the image")
    caption = _caption_in_json(json_bytes) if json_bytes is not None else None
    if caption is None and txt_bytes is not None:
        caption = decoded(txt_bytes)
    return checked_caption(caption)


def decoded(text: bytes) -> str:
    """UTF-8 or an error: replacement characters would be learned as words."""
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("data.caption", what="caption is not valid UTF-8") from error


def _caption_in_json(json_bytes: bytes) -> object:
    try:
        record = json.loads(decoded(json_bytes))
    except json.JSONDecodeError as error:
        what = f"wrong JSON at {error.lineno}:{error.colno} ({error.msg})"
        raise UserError("data.json", what=what) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise UserError("data.json", what=f"unusual JSON ({error})") from error
    return record.get("caption") if isinstance(record, dict) else None
