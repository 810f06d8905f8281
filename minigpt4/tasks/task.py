"""What a task is: it says what a step is and what is measured. The runner knows nothing more about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from minigpt4.datasets.ledger import Ledger
from minigpt4.metrics.tally import Tally
from minigpt4.records.batches import Batch, Output


@dataclass(frozen=True)
class Caption:
    """What the model says of one validation image, beside what it should say."""

    sample_id: str
    said: str
    wanted: str


class Task(Protocol):
    """What a step is and what is measured; made of a config and a loaded model."""

    measures: tuple[str, ...]
    """names of what `measure` counts, the same on every rank"""
    ledger: Ledger
    """counts this rank's samples read and lost; its state is kept in checkpoints"""

    def report(self) -> list[str]:
        """Lines for the start of a run: which data, how many, in which shares."""

    def data_identities(self) -> dict[str, str]:
        """Training data set -> what it is, in words that are equal as long as its samples are; kept in checkpoints."""
        return {}

    def batches_per_epoch(self, begun_on: int | None = None) -> int:
        """Micro-batches of a rank in one pass over the training splits; `begun_on` as below."""

    def training_batches(self, position: int, begun_on: int | None = None) -> Iterator[Batch]:
        """Endless micro-batches of this rank, from `position` micro-batches on.

        Args:
            position: counted in micro-batches of the ranks that the run was begun on.
            begun_on: how many those were, None = as many as now: the others see the same samples in each step, cut
                into more or smaller micro-batches (`datasets/share.py`).

        Raises `UserError` where too many samples are unreadable.
        """

    def output(self, model: nn.Module, batch: Batch) -> Output:
        """The loss of one micro-batch with at least one row."""

    def evaluation_batches(self, split: str, limit: int | None) -> Iterable[Batch]:
        """This rank's share of a split, each sample once over all ranks; `limit` = only the first so many."""

    def measure(self, model: nn.Module, batch: Batch) -> dict[str, Tally]:
        """Count everything in `measures` on one batch with at least one row."""

    def captions(self, split: str) -> list[Caption]:
        """A few captions of a split, for a person to read; only the first rank asks."""
