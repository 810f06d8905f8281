"""Rendered samples and their images -> one padded `Batch`.

B samples, L longest of them, N images of all. Padding is on the right; the image tokens of all rows lie end to end, so
each row's slots are moved behind those of the rows before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt4.records.batches import IGNORED_LABEL, PIXELS, Batch, Rendered
from minigpt4.records.conversations import Unreadable


@dataclass(frozen=True)
class Row:
    """One sample that is ready: its numbers and the pixels of its images, each [3, S, S]."""

    sample_id: str
    rendered: Rendered
    images: tuple[Tensor, ...] = ()


def collate(
    rows: Sequence[Row], *, pad_token_id: int, tokens_per_image: int,
    unreadable: Sequence[Unreadable] = (), unsupervised: Sequence[str] = (),
) -> Batch:
    """The batch of these rows; without rows all tensors are [0, 0] and there are no pixels."""
    length = max((len(row.rendered.ids) for row in rows), default=0)
    images = [image for row in rows for image in row.images]
    return Batch(
        input_ids=_padded([row.rendered.ids for row in rows], length, pad_token_id),
        attention_mask=_padded([[1] * len(row.rendered.ids) for row in rows], length, 0),
        labels=_padded([row.rendered.labels for row in rows], length, IGNORED_LABEL),
        slots=_padded(_moved_slots(rows, tokens_per_image), length, -1),
        images={PIXELS: torch.stack(images)} if images else {},
        sample_ids=[row.sample_id for row in rows],
        unreadable=list(unreadable),
        unsupervised=list(unsupervised),
    )


def _moved_slots(rows: Sequence[Row], tokens_per_image: int) -> list[list[int]]:
    moved, first = [], 0
    for row in rows:
        moved.append([slot if slot < 0 else slot + first for slot in row.rendered.slots])
        first += row.rendered.num_images * tokens_per_image
    return moved


def _padded(rows: Sequence[list[int]], length: int, filler: int) -> Tensor:
    """[B, length] int64"""
    filled = [row + [filler] * (length - len(row)) for row in rows]
    return torch.tensor(filled, dtype=torch.int64).reshape(len(rows), length)
