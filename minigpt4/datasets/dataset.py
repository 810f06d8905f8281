"""What every data set is to the loader: a length and samples by number and draw, nothing else.

The draw is the epoch: a data set that varies its samples (marks, wordings, questions) does so as a function of both
numbers, so that neither the order nor the number of workers can change what is trained on. A sample that cannot be
read is an `Unreadable` in its place; only mistakes that concern all samples raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Sample, Unreadable, shortened


class IndexedDataset(Protocol):
    """Samples by number. Opens files when asked for a sample, so that it can be sent to worker processes."""

    @property
    def name(self) -> str: ...

    @property
    def damaged(self) -> Sequence[Unreadable]:
        """Files of which a part is lost (truncated shards): reported once, the rest is used."""

    def __len__(self) -> int: ...

    def sample(self, number: int, draw: int = 0) -> Sample | Unreadable:
        """Sample `number` (from 0) as it is in epoch `draw`; most are the same in each."""


class Records(Protocol):
    """Lines or items of a file. `place` is for error sentences: 'captions.jsonl:12'."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Any: ...

    def place(self, number: int) -> str: ...


@dataclass(frozen=True)
class RecordDataset:
    """Records of a file, each read as one conversation."""

    name: str
    records: Records
    read: Callable[[Any], Conversation]
    """raises `UserError` if a record is not as it should be"""
    damaged: Sequence[Unreadable] = ()

    def __len__(self) -> int:
        return len(self.records)

    def fingerprint(self) -> str:
        return _fingerprint_of(self.records)

    def sample(self, number: int, draw: int = 0) -> Sample | Unreadable:
        place = self.records.place(number)
        sample_id = f"{self.name}/{number}"
        try:
            record = self.records[number]
            return Sample(record_id(record) or sample_id, place, self.read(record))
        except UserError as error:
            return Unreadable.because(sample_id, place, error)


def _fingerprint_of(part: object) -> str:
    """That of records or of a data set; empty for one that has none."""
    return str(getattr(part, "fingerprint", str)())


@dataclass(frozen=True)
class FirstSamples:
    """Only the first so many samples of a data set."""

    dataset: IndexedDataset
    count: int

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def damaged(self) -> Sequence[Unreadable]:
        return self.dataset.damaged

    def __len__(self) -> int:
        return min(self.count, len(self.dataset))

    def fingerprint(self) -> str:
        return _fingerprint_of(self.dataset)

    def sample(self, number: int, draw: int = 0) -> Sample | Unreadable:
        return self.dataset.sample(number, draw)


@dataclass(frozen=True)
class ChosenSamples:
    """Some samples of a data set, in an order of their own."""

    dataset: IndexedDataset
    numbers: Sequence[int]

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def damaged(self) -> Sequence[Unreadable]:
        return self.dataset.damaged

    def __len__(self) -> int:
        return len(self.numbers)

    def sample(self, number: int, draw: int = 0) -> Sample | Unreadable:
        return self.dataset.sample(self.numbers[number], draw)


def record_id(record: object) -> str:
    """The id that a record brings itself; empty if it has none."""
    if not isinstance(record, Mapping):
        return ""
    own = record.get("id", record.get("image_id"))
    return "" if own is None else shortened(shown(str(own)))


def checked_caption(caption: object) -> str:
    """A caption that can be learned. Raises `UserError` if there is none."""
    if not isinstance(caption, str):
        raise UserError("data.caption", what="no caption")
    if not caption.strip():
        raise UserError("data.caption", what="caption is empty after stripping white space")
    if IMAGE_MARK in caption:
        raise UserError("data.caption", what=f"caption contains {IMAGE_MARK}, the mark of an image")
    return caption
