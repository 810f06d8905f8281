"""Prompts that come as written text, and rows of ids that grow."""

from __future__ import annotations

from minigpt4.conversation.renderer import Renderer
from minigpt4.records.batches import IGNORED_LABEL, Rendered
from minigpt4.records.conversations import IMAGE_MARK


def render_text(renderer: Renderer, text: str) -> Rendered:
    """A prompt as it is written, images at their marks: BOS, then each stretch between images as one piece."""
    bos = renderer.tokenizer.bos_token_id
    row = Rendered([], [], []) if bos is None else Rendered([bos], [IGNORED_LABEL], [-1])
    for number, stretch in enumerate(text.split(IMAGE_MARK)):
        if number:
            row = _with_image(row, renderer.tokens_per_image)
        row = lengthened(row, renderer.tokenizer.encode(stretch, specials=True) if stretch else [])
    return row


def lengthened(row: Rendered, ids: list[int]) -> Rendered:
    """The row with text at its end."""
    return Rendered(row.ids + ids, row.labels + [IGNORED_LABEL] * len(ids), row.slots + [-1] * len(ids),
                    row.image_lengths)


def _with_image(row: Rendered, tokens: int) -> Rendered:
    first = sum(row.image_lengths)
    longer = lengthened(row, [0] * tokens)
    slots = row.slots + list(range(first, first + tokens))
    return Rendered(longer.ids, longer.labels, slots, (*row.image_lengths, tokens))
