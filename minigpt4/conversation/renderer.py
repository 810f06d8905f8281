"""Conversation -> ids, labels and slots: one way for training, evaluation and chat.

Labels follow from the pieces in the same pass that makes the ids, so they can never disagree (U41). What an original
did differently (cut end symbols, hidden labels, one prompt a batch) is data in `LabelRule`, not another code path.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from minigpt4.conversation.pieces import Piece, Template
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.records.batches import IGNORED_LABEL, Rendered
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """What of an answer is learned, and how captions get a prompt.

    Args:
        max_answer_tokens: longest answer, end symbol included.
        end_survives: the end symbol is kept when an answer is cut; the originals lost it (facts §3.4).
        hidden_label: id that is never learned, wherever it stands: the originals' pad token (facts §3.2).
        pad_token_id: filler of padded positions; never attended to and never learned.
        prompt_per: 'batch' = one prompt drawn for all rows of a step, as the originals.
    """

    max_answer_tokens: int
    end_survives: bool = True
    hidden_label: int | None = None
    pad_token_id: int = 0
    prompt_per: Literal["sample", "batch"] = "sample"


class Renderer:
    """Turns conversations into numbers.

    Args:
        training: template of training; `chat`: template of chatting, the same one in `standard`.
        tokenizer: encodes one piece.
        rule: what is learned.
        tokens_per_image: positions an image takes.
        prompts: texts with an image mark each, put where a user turn asks nothing.
    """

    def __init__(self, *, training: Template, chat: Template, tokenizer: Tokenizer, rule: LabelRule,
                 tokens_per_image: int, prompts: tuple[str, ...] = ()) -> None:
        self.training = training
        self.chat = chat
        self.tokenizer = tokenizer
        self.rule = rule
        self.tokens_per_image = tokens_per_image
        self.prompts = prompts

    @property
    def pad_token_id(self) -> int:
        return self.rule.pad_token_id

    @property
    def prompt_per(self) -> Literal["sample", "batch"]:
        return self.rule.prompt_per

    @property
    def stops(self) -> tuple[str, ...]:
        return self.chat.stops

    def render(self, conversation: Conversation, draw: int = 0) -> Rendered:
        """A training sample.

        Args:
            conversation: ends with an answer.
            draw: any number; chooses the prompt of a user turn that asks nothing.
        """
        pieces = self.training.pieces(self.with_prompt(conversation, draw))
        return self._number(pieces, self.training, self.rule.max_answer_tokens)

    def render_prompt(self, conversation: Conversation) -> Rendered:
        """What stands before the next answer of a chat; nothing is learned, no past answer is cut."""
        rendered = self._number(self.chat.pieces(conversation), self.chat, None)
        return replace(rendered, labels=[IGNORED_LABEL] * len(rendered.labels))

    def with_prompt(self, conversation: Conversation, draw: int = 0) -> Conversation:
        """The conversation with a prompt where the user asks nothing, as training puts it."""
        if not self.prompts:
            return conversation
        prompt = self.prompts[draw % len(self.prompts)]
        turns = tuple(
            Turn("user", prompt) if turn.role == "user" and turn.text.strip() == IMAGE_MARK else turn
            for turn in conversation.turns
        )
        return replace(conversation, turns=turns)

    def _number(self, pieces: list[Piece], template: Template, limit: int | None) -> Rendered:
        ids: list[int] = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        labels = [IGNORED_LABEL] * len(ids)
        slots = [-1] * len(ids)
        images = 0
        for piece in pieces:
            if piece.kind == "image":
                first = images * self.tokens_per_image
                new_slots = list(range(first, first + self.tokens_per_image))
                new_ids, images = [0] * self.tokens_per_image, images + 1
            else:
                new_ids = self._encode(piece, template, limit)
                new_slots = [-1] * len(new_ids)
            ids += new_ids
            slots += new_slots
            labels += [self._label(number) for number in new_ids] if piece.learned else [IGNORED_LABEL] * len(new_ids)
        return Rendered(ids, labels, slots, images)

    def _label(self, number: int) -> int:
        return IGNORED_LABEL if number == self.rule.hidden_label else number

    def _encode(self, piece: Piece, template: Template, limit: int | None) -> list[int]:
        if piece.kind == "answer":
            return self._encode_answer(piece, template, limit)
        return self.tokenizer.encode(piece.text, specials=template.text_holds_specials)

    def _encode_answer(self, piece: Piece, template: Template, limit: int | None) -> list[int]:
        """Answer and end symbol, at most `limit` tokens."""
        if piece.end in self.tokenizer.special_tokens and not template.text_holds_specials:
            end = [self.tokenizer.special_tokens[piece.end]]
            ids = self.tokenizer.encode(piece.text, specials=False) + end
        else:
            ids = self.tokenizer.encode(piece.text + piece.end, specials=template.text_holds_specials)
            end = self._end_ids(piece.end)
        if limit is None or len(ids) <= limit:
            return ids
        if not self.rule.end_survives or len(end) >= limit:
            return ids[:limit]
        return ids[: limit - len(end)] + end

    def _end_ids(self, end: str) -> list[int]:
        """Ids of the end symbol as it follows a word."""
        word = self.tokenizer.encode("a", specials=False)
        both = self.tokenizer.encode("a" + end, specials=False)
        return both[len(word) :] if both[: len(word)] == word else self.tokenizer.encode(end, specials=False)
