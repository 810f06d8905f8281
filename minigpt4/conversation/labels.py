"""What of a conversation is learned, and how long a row may become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from minigpt4.records.batches import IGNORED_LABEL, Rendered
from minigpt4.records.conversations import Conversation

Learn = Literal["all", "last", "first_pair"]


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """What of a conversation is learned, and how captions get a prompt.

    Args:
        max_answer_tokens: longest answer, end included; None = no limit.
        max_positions: longest row; an image that does not fit is left out whole, with all that follows it. None = no
            limit.
        learn: 'all' answers; the 'last' one; 'first_pair' = only the first question and answer are kept at all.
        end_survives: the end of an answer is kept when the answer is cut; the originals lost it.
        hidden_label: id that is never learned, wherever it stands: the originals' pad token.
        pad_token_id: filler of padded positions; never attended to and never learned.
        prompt_per: 'batch' = one prompt drawn for all rows of a step, as the originals.
    """

    max_answer_tokens: int | None = None
    max_positions: int | None = None
    learn: Learn = "all"
    end_survives: bool = True
    hidden_label: int | None = None
    pad_token_id: int = 0
    prompt_per: Literal["sample", "batch"] = "sample"

    def kept(self, conversation: Conversation) -> Conversation:
        """The turns that this rule trains on."""
        if self.learn != "first_pair":
            return conversation
        first = next((number for number, turn in enumerate(conversation.turns) if turn.role == "assistant"), None)
        turns = conversation.turns if first is None else conversation.turns[: first + 1]
        return conversation.with_turns(turns)

    def learns(self, answer: int | None, last: int) -> bool:
        """Whether an answer (by its number; `last` is the last one's) is learned."""
        return answer is not None and (self.learn != "last" or answer == last)

    def label(self, number: int) -> int:
        """The label of an id that is learned."""
        return IGNORED_LABEL if number == self.hidden_label else number

    def bounded(self, row: Rendered) -> Rendered:
        """The row cut to `max_positions`, never inside an image."""
        if self.max_positions is None or len(row.ids) <= self.max_positions:
            return row
        end = self.max_positions
        if row.slots[end] >= 0 and row.slots[end] not in _first_slots(row.image_lengths):
            end = row.slots.index(_first_of(row.slots[end], row.image_lengths))
        whole = sum(slot in _first_slots(row.image_lengths) for slot in row.slots[:end] if slot >= 0)
        return Rendered(row.ids[:end], row.labels[:end], row.slots[:end], row.image_lengths[:whole])


def _first_slots(lengths: tuple[int, ...]) -> list[int]:
    """The first slot of each image."""
    return [sum(lengths[:number]) for number in range(len(lengths))]


def _first_of(slot: int, lengths: tuple[int, ...]) -> int:
    return max(first for first in _first_slots(lengths) if first <= slot)
