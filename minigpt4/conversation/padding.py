"""Rendered conversations of several lengths -> one batch of rows.

B rows, L positions. Right padding for training, left padding for generation (U45). Slots of a row become rows of the
batch's image tokens, all images end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from minigpt4.records.batches import IGNORED_LABEL, Batch, Rendered


def pad(rows: Sequence[Rendered], *, pad_token_id: int, tokens_per_image: int,
        side: Literal["left", "right"] = "right") -> Batch:
    """Rows -> `Batch` without images: input_ids, attention_mask, labels, slots [B, L]. No rows give B = L = 0."""
    length = max((len(row.ids) for row in rows), default=0)
    first_slot, padded = 0, []
    for row in rows:
        shifted = [slot + first_slot if slot >= 0 else -1 for slot in row.slots]
        padded.append((row.ids, [1] * len(row.ids), row.labels, shifted))
        first_slot += row.num_images * tokens_per_image
    fillers = (pad_token_id, 0, IGNORED_LABEL, -1)
    ids, mask, labels, slots = (
        _stack([row[number] for row in padded], length, filler, side) for number, filler in enumerate(fillers)
    )
    return Batch(ids, mask, labels, slots)


def _stack(rows: list[list[int]], length: int, filler: int, side: Literal["left", "right"]) -> Tensor:
    table = torch.full((len(rows), length), filler, dtype=torch.int64)
    for number, row in enumerate(rows):
        if side == "right":
            table[number, : len(row)] = torch.tensor(row, dtype=torch.int64)
        else:
            table[number, length - len(row) :] = torch.tensor(row, dtype=torch.int64)
    return table
