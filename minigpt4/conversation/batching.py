"""Rendered conversations of several lengths, with or without their images -> one batch of rows.

B rows, L positions. Right padding for training, left padding for generation. Slots of a row become rows of the batch's
image tokens, all images end to end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from minigpt4.records.batches import IGNORED_LABEL, Batch, Rendered
from minigpt4.records.conversations import Unreadable


@dataclass(frozen=True)
class Row:
    """One sample that is ready: its numbers, the named tensors of each of its images, and its targets."""

    sample_id: str
    rendered: Rendered
    images: tuple[Mapping[str, Tensor], ...] = ()
    targets: Mapping[str, Tensor] = field(default_factory=dict)


def collate(rows: Sequence[Row], *, pad_token_id: int, unreadable: Sequence[Unreadable] = (),
            unsupervised: Sequence[str] = ()) -> Batch:
    """The training batch of these rows; without rows all tensors are [0, 0] and there are no images.

    Images are of one kind and have the same names; a target belongs to the batch if every row brings it.
    """
    batch = pad([row.rendered for row in rows], pad_token_id=pad_token_id)
    images = [image for row in rows for image in row.images]
    assert all(image.keys() == images[0].keys() for image in images), "images of one batch have the same names"
    batch.images = _stack_named(images)
    batch.targets = _stack_named([row.targets for row in rows])
    batch.sample_ids = [row.sample_id for row in rows]
    batch.unreadable, batch.unsupervised = list(unreadable), list(unsupervised)
    batch.prepared_row = batch.row
    return batch


def pad(rows: Sequence[Rendered], *, pad_token_id: int, side: Literal["left", "right"] = "right") -> Batch:
    """Rows -> `Batch` without images: input_ids, attention_mask, labels, slots [B, L]. No rows give B = L = 0."""
    length = max((len(row.ids) for row in rows), default=0)
    first_slot, padded = 0, []
    for row in rows:
        shifted = [slot + first_slot if slot >= 0 else -1 for slot in row.slots]
        padded.append((row.ids, [1] * len(row.ids), row.labels, shifted))
        first_slot += sum(row.image_lengths)
    fillers = (pad_token_id, 0, IGNORED_LABEL, -1)
    ids, mask, labels, slots = (
        _stack([row[number] for row in padded], length, filler, side) for number, filler in enumerate(fillers)
    )
    return Batch(ids, mask, labels, slots)


def _stack_named(named: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of the names that all have, one below the other: [number, …] each."""
    names = [name for name in named[0] if all(name in each for each in named)] if named else []
    return {name: torch.stack([each[name] for each in named]) for name in names}


def _stack(rows: Sequence[list[int]], length: int, filler: int, side: Literal["left", "right"]) -> Tensor:
    """[B, length] int64"""
    fillings = [[filler] * (length - len(row)) for row in rows]
    filled = [row + extra if side == "right" else extra + row for row, extra in zip(rows, fillings, strict=True)]
    return torch.tensor(filled, dtype=torch.int64).reshape(len(rows), length)
