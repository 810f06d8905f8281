"""What renderer and chat ask of a tokenizer, which tokenizer a folder holds, and text that comes id by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from minigpt4.common.errors import UserError
from minigpt4.common.files import ReadBytes
from minigpt4.conversation.pieces import Span

HALF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Encoded:
    """Ids of a piece, and for each of them the number of the span that its last character belongs to."""

    ids: list[int]
    owners: list[int]


class Tokenizer(Protocol):
    """What renderer and chat ask of a tokenizer."""

    bos_token_id: int | None
    eos_token_id: int | None
    adds_bos: bool
    """it puts BOS in front by itself"""
    special_tokens: dict[str, int]
    """tokens flagged special by name: no text of a person is read as one"""
    vocab_size: int
    """ids it can give, 0 to vocab_size - 1"""
    chat_template: str | None
    """jinja text of the folder, where it has one"""

    def encode_spans(self, spans: Sequence[Span], *, specials_in_text: bool = False) -> Encoded:
        """Ids of one piece. `specials_in_text`: special tokens count in people's spans, too, as some originals did."""

    def encode(self, text: str, *, specials: bool) -> list[int]:
        """Ids of a piece of one span; `specials`: names like `</s>` inside the text count as the token."""

    def piece_id(self, piece: str) -> int | None:
        """Id of a piece of the vocabulary ('$$'), None if it is not one."""

    def decode(self, ids: Sequence[int], *, skip_specials: bool = True) -> str:
        """Text of ids. Added tokens that are not special (`<think>`) stay readable."""


def open_tokenizer(folder: str | Path, *, legacy: bool | None = None, prefer_json: bool = False,
                   read: ReadBytes = Path.read_bytes) -> Tokenizer:
    """The tokenizer of a folder: `tokenizer.model` (sentencepiece) before `tokenizer.json`.

    Args:
        folder: holds one of them, or both.
        legacy: what follows a special token starts with a blank, as LLaMA's tokenizer of early 2023 did; None = as
            `tokenizer_config.json` says (True where it does not say). Of sentencepiece folders alone.
        prefer_json: take `tokenizer.json` where both are there.
        read: opens its files.

    Raises:
        UserError: the folder has neither, or a file of it cannot be read.
    """
    from minigpt4.conversation.fast_tokenizer import FastTokenizer
    from minigpt4.conversation.sentencepiece_tokenizer import SentencePieceTokenizer

    folder = Path(folder)
    has_model, has_json = (folder / "tokenizer.model").exists(), (folder / "tokenizer.json").exists()
    if has_model and not (prefer_json and has_json):
        return SentencePieceTokenizer(folder, legacy=legacy, read=read)
    if has_json:
        return FastTokenizer(folder, read)
    raise UserError(
        "tokenizer.missing", where=str(folder), what="has neither tokenizer.model nor tokenizer.json",
        fix="copy the tokenizer files beside the weights, or set model.llm.tokenizer",
    )


class StreamDecoder:
    """Text of a growing list of ids, a half character held back until it is whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self.shown = ""

    def push(self, number: int) -> str:
        """Add an id; returns the text that became certain (a tail of half characters may still change)."""
        self.ids.append(number)
        return self._beyond_shown(self.tokenizer.decode(self.ids).rstrip(HALF_CHARACTER))

    def finish(self) -> str:
        """The rest, half characters as replacement characters."""
        return self._beyond_shown(self.tokenizer.decode(self.ids))

    def _beyond_shown(self, text: str) -> str:
        new = text[len(self.shown) :]
        self.shown += new
        return new
