"""Padding and slots: a row of a batch says the same as the sample alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from minigpt4.conversation.batching import Row, collate
from minigpt4.records.batches import IGNORED_LABEL, PIXELS, Rendered

TOKENS = 3


def row(number: int, images: int, words: int) -> Row:
    """Images first, then words; the pixels name the row and the image."""
    length = images * TOKENS
    rendered = Rendered([0] * length + list(range(1, words + 1)), [IGNORED_LABEL] * length + list(range(1, words + 1)),
                        list(range(length)) + [-1] * words, (TOKENS,) * images)
    return Row(str(number), rendered,
               tuple({PIXELS: torch.full((3, 1, 1), number * 10.0 + image)} for image in range(images)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), max_size=6))
def test_every_row_finds_its_own_images(shapes: list[tuple[int, int]]) -> None:
    rows = [row(number, *shape) for number, shape in enumerate(shapes)]
    batch = collate(rows, pad_token_id=9)
    for number, each in enumerate(rows):
        length = len(each.rendered.ids)
        assert batch.input_ids[number, :length].tolist() == each.rendered.ids
        assert batch.labels[number, :length].tolist() == each.rendered.labels
        assert batch.attention_mask[number].tolist() == [1] * length + [0] * (batch.input_ids.shape[1] - length)
        assert set(batch.input_ids[number, length:].tolist()) <= {9}
        assert set(batch.labels[number, length:].tolist()) <= {IGNORED_LABEL}
        assert set(batch.slots[number, length:].tolist()) <= {-1}
        used = [slot for slot in batch.slots[number].tolist() if slot >= 0]
        owners = [float(batch.images["pixel_values"][slot // TOKENS, 0, 0, 0]) for slot in used]
        assert owners == [number * 10.0 + slot // TOKENS for slot in each.rendered.slots if slot >= 0]


def test_no_rows() -> None:
    batch = collate([], pad_token_id=9)
    assert batch.input_ids.shape == batch.slots.shape == (0, 0) and not batch.num_images


def test_targets_of_all_rows_and_named_tensors_of_images() -> None:
    words = {"word_ids": torch.tensor([7]), "word_weights": torch.tensor([0.5])}
    rows = [replace(row(number, 1, 1), images=(words,), targets={"kind": torch.tensor([number, 5])})
            for number in range(2)]
    batch = collate(rows, pad_token_id=9)
    assert batch.targets["kind"].tolist() == [[0, 5], [1, 5]]
    assert batch.images["word_ids"].tolist() == [[7], [7]] and batch.images["word_ids"].dtype == torch.int64
    assert batch.images["word_weights"].tolist() == [[0.5], [0.5]]
    assert batch.to("cpu").targets["kind"].equal(batch.targets["kind"])
    assert not collate([*rows, row(2, 0, 1)], pad_token_id=9).targets, "the third row has none"
