"""Conversation -> ids, labels and slots: one way for training, evaluation and chat.

Labels follow from the spans in the same pass that makes the ids, so the two can never disagree. What an original did
differently is data (`LabelRule`, `OriginalEncoding`), not another code path.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from minigpt4.common.errors import UserError
from minigpt4.conversation.pieces import Piece, Span
from minigpt4.conversation.template import Template
from minigpt4.conversation.tokenizer import Encoded, Tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.records.batches import IGNORED_LABEL, Rendered
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn

KEPT_PIECES, KEPT_CHARACTERS = 1024, 1000
"""how many pieces are remembered with their ids, and how long they are at most: a few megabytes whoever writes them"""


class Renderer:
    """Turns conversations into numbers.

    Args:
        wording: templates, prompts, what is learned.
        tokenizer: encodes one piece.
        tokens_per_image: positions an image takes.

    Raises:
        UserError: the number of the template's placeholders is not the image's number of tokens.
    """

    def __init__(self, wording: Wording, tokenizer: Tokenizer, tokens_per_image: int) -> None:
        self.wording = wording
        self.prompts, self.original, self.rule = wording.prompts, wording.original, wording.rule
        self.training, self.chat = self._as_encoded(wording.training), self._as_encoded(wording.chat)
        self.tokenizer = tokenizer
        self.tokens_per_image = tokens_per_image
        self._asked: dict[tuple[Span, ...], Encoded] = {}
        self._image_ids = {template.image_run: self._ids_of_image(template) for template in (self.training, self.chat)}

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
        """A training sample, cut as the label rule says.

        Args:
            conversation: ends with an answer.
            draw: any number; chooses the prompt of a user turn that asks nothing.
        """
        kept = self.rule.kept(self.with_prompt(conversation, draw))
        return self.rule.bounded(self._number(self.training.pieces(kept), self.training, self.rule.max_answer_tokens))

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

    def _as_encoded(self, template: Template) -> Template:
        joint = None if self.original.joint_as_written else template.image_joint
        is_open = template.empty_answer_is_open and self.original.empty_answers_are_open
        ended_by = template.ended_by if self.original.specials_in_text else ()  # else what people say would be a token
        return replace(template, image_joint=joint, empty_answer_is_open=is_open, ended_by=ended_by)

    def _number(self, pieces: list[Piece], template: Template, limit: int | None) -> Rendered:
        ids = self._first_ids(template)
        labels = [IGNORED_LABEL] * len(ids)
        slots = [-1] * len(ids)
        lengths: list[int] = []
        last = max((span.turn for piece in pieces for span in piece.spans if span.turn is not None), default=0)
        for number, piece in enumerate(pieces):
            if piece.is_image:
                first = sum(lengths)
                lengths.append(self.tokens_per_image)
                ids += self._image_ids[template.image_run]
                slots += range(first, first + self.tokens_per_image)
                labels += [IGNORED_LABEL] * self.tokens_per_image
                continue
            encoded = self._encode(piece, limit, follows_image=number > 0, begins_with_bos=self._begins_with_bos(ids))
            ids += encoded.ids
            slots += [-1] * len(encoded.ids)
            labels += [
                self.rule.label(each) if self.rule.learns(piece.spans[owner].turn, last) else IGNORED_LABEL
                for each, owner in zip(encoded.ids, encoded.owners, strict=True)
            ]
        return Rendered(ids, labels, slots, tuple(lengths))

    def _first_ids(self, template: Template) -> list[int]:
        bos, way = self.tokenizer.bos_token_id, template.begins_with_bos
        asks_tokenizer = way == "tokenizer" or (way == "spelled" and self.original.bos_twice)
        wanted = way == "always" or (asks_tokenizer and self.tokenizer.adds_bos)
        return [bos] if wanted and bos is not None else []

    def _begins_with_bos(self, ids: list[int]) -> bool:
        return bool(ids) and ids[0] == self.tokenizer.bos_token_id

    def _encode(self, piece: Piece, limit: int | None, *, follows_image: bool, begins_with_bos: bool) -> Encoded:
        encoded = self._encoded(piece)
        loses_first = self.original.later_pieces_lose_first_id and follows_image and begins_with_bos
        if loses_first and not self.tokenizer.adds_bos:
            encoded = Encoded(encoded.ids[1:], encoded.owners[1:])
        return encoded if limit is None else self._limited(piece, encoded, limit)

    def _encoded(self, piece: Piece) -> Encoded:
        """What is no answer comes again and again: a prompt's pieces are encoded once."""
        if any(span.turn is not None for span in piece.spans) or len(piece.text) > KEPT_CHARACTERS:
            return self.tokenizer.encode_spans(piece.spans, specials_in_text=self.original.specials_in_text)
        if piece.spans not in self._asked:
            if len(self._asked) == KEPT_PIECES:
                self._asked.clear()
            self._asked[piece.spans] = self.tokenizer.encode_spans(
                piece.spans, specials_in_text=self.original.specials_in_text)
        return self._asked[piece.spans]

    def _limited(self, piece: Piece, encoded: Encoded, limit: int) -> Encoded:
        """Each answer of at most `limit` tokens, its end kept where the rule says so."""
        ids, owners = [], []
        for turn in dict.fromkeys(span.turn for span in piece.spans):
            own = [(number, owner) for number, owner in zip(encoded.ids, encoded.owners, strict=True)
                   if piece.spans[owner].turn == turn]
            if turn is not None and len(own) > limit:
                own = self._shortened(piece, own, turn, limit)
            ids += [number for number, _ in own]
            owners += [owner for _, owner in own]
        return Encoded(ids, owners)

    def _shortened(self, piece: Piece, own: list[tuple[int, int]], turn: int, limit: int) -> list[tuple[int, int]]:
        ends = [(number, span) for number, span in enumerate(piece.spans) if span.turn == turn and span.is_end]
        if not self.rule.end_survives or not ends:
            return own[:limit]
        owner, span = ends[-1]
        end = [(number, owner) for number in self._end_ids(span.text)]
        return own[:limit] if len(end) >= limit else own[: limit - len(end)] + end

    def _end_ids(self, end: str) -> list[int]:
        """Ids of the end of an answer as it follows a word."""
        if end in self.tokenizer.special_tokens:
            return [self.tokenizer.special_tokens[end]]
        word = self.tokenizer.encode("a", specials=False)
        both = self.tokenizer.encode("a" + end, specials=True)
        return both[len(word) :] if both[: len(word)] == word else self.tokenizer.encode(end, specials=True)

    def _ids_of_image(self, template: Template) -> list[int]:
        if not template.image_run:
            return [0] * self.tokens_per_image
        ids = self.tokenizer.encode(template.image_run, specials=True)
        if len(ids) != self.tokens_per_image:
            raise UserError("template.image_run", where=f"template {template.name}",
                            what=f"has {len(ids)} placeholders for an image, the model makes {self.tokens_per_image} "
                            "tokens",
                            fix="take the template, tokenizer and image size that belong together")
        return ids
