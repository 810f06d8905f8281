"""What a sample is for the model: ids, labels and slots; and what the model answers.

B samples, L positions, N images of the whole batch, R image tokens of the whole batch end to end; T tokens of all
samples without padding, P of them followed by one that is learned.
`slots` says where image tokens go: -1 = text, else a row of the R image tokens. Ids at slots are not looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from itertools import accumulate

import torch
from torch import Tensor

from minigpt4.records.conversations import Unreadable

IGNORED_LABEL = -100
PIXELS = "pixel_values"
"""name of the images' pixels among a batch's `images`"""


@dataclass(frozen=True)
class Rendered:
    """One conversation as numbers. All three lists have the length of the sequence.

    `slots` counts from 0 within this sample: the first image holds rows 0 to image_lengths[0] - 1, the second
    continues.
    """

    ids: list[int]
    labels: list[int]
    slots: list[int]
    image_lengths: tuple[int, ...] = ()
    """tokens of each image that has its place in the row"""

    @property
    def num_images(self) -> int:
        return len(self.image_lengths)

    @property
    def num_supervised(self) -> int:
        """Labels that are scored: the first position predicts nothing before it."""
        return sum(label != IGNORED_LABEL for label in self.labels[1:])


@dataclass(frozen=True)
class SampleBounds:
    """Where each sample of a row begins and ends."""

    lengths: tuple[int, ...]
    """tokens of each of the B samples; host numbers, so that nobody waits for a device to know a shape"""
    starts: Tensor
    """[B + 1] int32, first token of each sample, and T"""

    @classmethod
    def of(cls, lengths: tuple[int, ...]) -> SampleBounds:
        return cls(lengths, torch.tensor([0, *accumulate(lengths)], dtype=torch.int32))


@dataclass(frozen=True)
class OneRow:
    """The samples of a batch end to end, without padding, and what is learned of them."""

    input_ids: Tensor
    """[T] int64"""
    positions: Tensor
    """[T] int64, from 0 in each sample"""
    slots: Tensor
    """[T] int64, as in the batch"""
    predicting: Tensor
    """[P] int64, the tokens that a learned one follows"""
    targets: Tensor
    """[P] int64, the learned ones"""
    bounds: SampleBounds

    @classmethod
    def of(cls, batch: Batch) -> OneRow:
        """The row of a padded batch; padding may stand on either side."""
        real = batch.attention_mask.bool()
        positions = (batch.attention_mask.cumsum(dim=1) - 1)[real]
        labels = batch.labels[real]
        learned = ((labels != IGNORED_LABEL) & (positions > 0)).nonzero().squeeze(1)
        lengths = tuple(batch.attention_mask.sum(dim=1).tolist())
        bounds = SampleBounds(lengths, SampleBounds.of(lengths).starts.to(labels.device))
        return cls(batch.input_ids[real], positions, batch.slots[real], learned - 1, labels[learned], bounds)

    def to(self, device: torch.device | str) -> OneRow:
        """The same row on another device; nobody waits for it."""
        moved = {each.name: getattr(self, each.name).to(device, non_blocking=True)
                 for each in fields(self) if each.name != "bounds"}
        return OneRow(bounds=SampleBounds(self.bounds.lengths, self.bounds.starts.to(device, non_blocking=True)),
                      **moved)

    def pin_memory(self) -> OneRow:
        """The same row in memory that a GPU reads by itself."""
        moved = {each.name: getattr(self, each.name).pin_memory() for each in fields(self) if each.name != "bounds"}
        return OneRow(bounds=SampleBounds(self.bounds.lengths, self.bounds.starts.pin_memory()), **moved)


@dataclass
class Batch:
    """Padded rows (right in training) with their images. A batch whose rows were all unreadable has B = 0."""

    input_ids: Tensor
    """[B, L] int64"""
    attention_mask: Tensor
    """[B, L] int64, 1 = real"""
    labels: Tensor
    """[B, L] int64, unshifted, -100 = not learned"""
    slots: Tensor
    """[B, L] int64, -1 = text, else a row of the batch's image tokens"""
    images: Mapping[str, Tensor] = field(default_factory=dict)
    """what the visual path starts from, each [N, …], images of all rows in order: `pixel_values` [N, 3, S, S] float32
    or their levels in uint8, or values of frozen stages that were stored; empty for text only"""
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    """[B, …] by name: what every row brings to be learned or measured beside its words"""
    sample_ids: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    """holes of this batch"""
    unsupervised: list[str] = field(default_factory=list)
    """ids of samples without a learned token, left out"""
    prepared_row: OneRow | None = None
    """the same samples without padding, made by the loader or by `to`; whoever has it changes no label afterwards"""

    @property
    def num_images(self) -> int:
        return next((value.shape[0] for value in self.images.values()), 0)

    @property
    def num_supervised(self) -> int:
        if self.prepared_row is not None:  # no number is read from the device
            return self.prepared_row.targets.shape[0]
        return int((self.labels[:, 1:] != IGNORED_LABEL).sum())

    @property
    def row(self) -> OneRow:
        """All samples end to end."""
        return OneRow.of(self) if self.prepared_row is None else self.prepared_row

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device; nobody waits for it."""
        return self._with(self.row.to(device), lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in memory that a GPU reads by itself; torch's DataLoader asks for it."""
        return self._with(self.row.pin_memory(), lambda value: value.pin_memory())

    def _with(self, row: OneRow, moved: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            moved(self.input_ids), moved(self.attention_mask), moved(self.labels), moved(self.slots),
            {name: moved(value) for name, value in self.images.items()},
            {name: moved(value) for name, value in self.targets.items()},
            self.sample_ids, self.unreadable, self.unsupervised, row,
        )


@dataclass
class Output:
    """What the model says of a batch: the summed loss, to be divided by the tokens of the whole window."""

    loss_sum: Tensor
    """[] float32, sum over supervised tokens"""
    num_tokens: int
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    """weighted losses that are averaged over micro-batches and ranks (mixture of experts), by name"""
