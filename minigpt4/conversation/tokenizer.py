"""Tokenizers that encode one piece exactly as the original did, and decode a stream without half characters.

`SentencePieceTokenizer` is the slow LlamaTokenizer of 2023: text between special tokens is encoded by sentencepiece
alone, each stretch with its own leading blank (facts/minigpt4.md §3.1). `FastTokenizer` is any other Hugging Face
tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from minigpt4.common.errors import UserError
from minigpt4.conversation.pieces import split_at_specials

HALF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


class Tokenizer(Protocol):
    """What renderer and chat ask of a tokenizer."""

    bos_token_id: int | None
    eos_token_id: int | None
    special_tokens: dict[str, int]
    vocab_size: int
    """ids it can give, 0 to vocab_size - 1"""

    def encode(self, text: str, *, specials: bool) -> list[int]:
        """Ids of one piece; `specials`: names like `</s>` inside the text count as the token."""

    def piece_id(self, piece: str) -> int | None:
        """Id of a piece of the vocabulary ('$$'), None where it is not one."""

    def decode(self, ids: Sequence[int], *, skip_specials: bool = True) -> str:
        """Text of ids."""


class SentencePieceTokenizer:
    """`tokenizer.model` of a Llama folder, with the tokens of `added_tokens.json`."""

    def __init__(self, folder: Path) -> None:
        from sentencepiece import SentencePieceProcessor

        self.model = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        self.bos_token_id: int | None = self.model.bos_id()
        self.eos_token_id: int | None = self.model.eos_id()
        names = {self.model.IdToPiece(i): i for i in (self.model.unk_id(), self.model.bos_id(), self.model.eos_id())}
        self.special_tokens: dict[str, int] = {**names, **_added_tokens(folder)}
        self.vocab_size = max(self.model.GetPieceSize(), *(number + 1 for number in self.special_tokens.values()))
        self._special_ids = {number: name for name, number in self.special_tokens.items()}

    def encode(self, text: str, *, specials: bool) -> list[int]:
        ids: list[int] = []
        for stretch in split_at_specials(text, tuple(self.special_tokens) if specials else ()):
            if specials and stretch in self.special_tokens:
                ids.append(self.special_tokens[stretch])
            else:
                ids.extend(self.model.EncodeAsIds(stretch))
        return ids

    def piece_id(self, piece: str) -> int | None:
        number = self.model.PieceToId(piece)
        return None if number == self.model.unk_id() else int(number)

    def decode(self, ids: Sequence[int], *, skip_specials: bool = True) -> str:
        """Stretches between special tokens are decoded alone, as the slow LlamaTokenizer did."""
        stretches: list[str] = []
        plain: list[int] = []
        for number in ids:
            if number not in self._special_ids:
                plain.append(number)
                continue
            if plain:
                stretches.append(self.model.DecodeIds(plain))
                plain = []
            if not skip_specials:
                stretches.append(self._special_ids[number])
        if plain:
            stretches.append(self.model.DecodeIds(plain))
        return "".join(stretches)


class FastTokenizer:
    """A `tokenizer.json` folder, through transformers."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.model: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self.bos_token_id: int | None = self.model.bos_token_id
        self.eos_token_id: int | None = self.model.eos_token_id
        self.special_tokens: dict[str, int] = {
            token.content: number for number, token in self.model.added_tokens_decoder.items() if token.special
        }
        self.vocab_size = len(self.model)

    def encode(self, text: str, *, specials: bool) -> list[int]:
        ids: list[int] = self.model.encode(text, add_special_tokens=False, split_special_tokens=not specials)
        return ids

    def piece_id(self, piece: str) -> int | None:
        number: int | None = self.model.get_vocab().get(piece)
        return number

    def decode(self, ids: Sequence[int], *, skip_specials: bool = True) -> str:
        text: str = self.model.decode(list(ids), skip_special_tokens=skip_specials, clean_up_tokenization_spaces=False)
        return text


def open_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a folder: `tokenizer.model` (sentencepiece) before `tokenizer.json`.

    Raises:
        UserError: the folder holds neither.
    """
    folder = Path(folder)
    if (folder / "tokenizer.model").exists():
        return SentencePieceTokenizer(folder)
    if (folder / "tokenizer.json").exists():
        return FastTokenizer(folder)
    raise UserError(
        "tokenizer.missing", where=str(folder), what="holds neither tokenizer.model nor tokenizer.json",
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


def _added_tokens(folder: Path) -> dict[str, int]:
    path = folder / "added_tokens.json"
    if not path.exists():
        return {}
    return {str(name): int(number) for name, number in json.loads(path.read_text(encoding="utf-8")).items()}
