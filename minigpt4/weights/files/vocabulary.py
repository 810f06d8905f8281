"""The words behind the rows of an embedding, for conversions: do two folders number their words alike?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minigpt4.common.errors import UserError
from minigpt4.common.files import ReadBytes
from minigpt4.weights.files.readers import read_json


@dataclass(frozen=True)
class Vocabulary:
    """Pieces by id, added tokens by name, and sentencepiece's own ids of `bos_token`, `eos_token`, `unk_token`."""

    pieces: tuple[str, ...]
    added: Mapping[str, int] = field(default_factory=dict)
    special_ids: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Rows that an embedding needs."""
        return max(len(self.pieces), *(number + 1 for number in self.added.values()), 0)

    @property
    def names_behind(self) -> list[str]:
        """Added tokens that need rows of their own ([PAD] of Vicuna v0)."""
        return [name for name, number in self.added.items() if number >= len(self.pieces)]


def read_vocabulary(folder: Path, read: ReadBytes = Path.read_bytes) -> Vocabulary | None:
    """The vocabulary of a folder with tokenizer.model or tokenizer.json; None if it has neither.

    Raises:
        UserError: a file that is not a tokenizer.
    """
    if (folder / "tokenizer.model").exists():
        vocabulary = read_sentencepiece(folder / "tokenizer.model", read)
        added = folder / "added_tokens.json"
        return replace(vocabulary, added=_ids(added, read)) if added.exists() else vocabulary
    path = folder / "tokenizer.json"
    if path.exists():
        content = read_json(path, read)
        try:
            return _of_tokenizers(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError("tokenizer.damaged", where=str(path), what="is not a tokenizer: it has no vocabulary",
                            fix="download or copy it again") from error
    return None


def _ids(path: Path, read: ReadBytes) -> dict[str, int]:
    values = read_json(path, read)
    if not isinstance(values, dict) or not all(isinstance(number, int) for number in values.values()):
        raise UserError("tokenizer.damaged", where=str(path), what="is not an object of names and ids",
                        fix="download or copy it again")
    return values


def first_difference(one: Vocabulary, other: Vocabulary) -> str | None:
    """Where two vocabularies part, in words; None where their common ids have the same pieces."""
    if len(one.pieces) != len(other.pieces):
        return f"{len(one.pieces)} pieces against {len(other.pieces)}"
    for number, (mine, theirs) in enumerate(zip(one.pieces, other.pieces, strict=True)):
        if mine != theirs:
            return f"piece {number} is '{mine}' against '{theirs}'"
    return None


def read_sentencepiece(path: Path, read: ReadBytes = Path.read_bytes) -> Vocabulary:
    """The vocabulary of one sentencepiece file.

    Raises:
        UserError: it is not a tokenizer.
    """
    from sentencepiece import SentencePieceProcessor

    try:
        model = SentencePieceProcessor(model_proto=read(path))
    except (RuntimeError, OSError) as error:
        raise UserError("tokenizer.damaged", where=str(path), what="is not a sentencepiece model",
                        fix="download or copy it again") from error
    special_ids = {"bos_token": model.bos_id(), "eos_token": model.eos_id(), "unk_token": model.unk_id()}
    pieces = tuple(model.IdToPiece(list(range(model.GetPieceSize()))))
    return Vocabulary(pieces, special_ids={name: number for name, number in special_ids.items() if number >= 0})


def _of_tokenizers(content: Any) -> Vocabulary:
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, Mapping):
        pieces = sorted(vocabulary, key=lambda piece: int(vocabulary[piece]))
    else:  # a unigram model: [piece, score] by id
        pieces = [piece for piece, _ in vocabulary]
    added = {str(entry["content"]): int(entry["id"]) for entry in content.get("added_tokens", [])}
    return Vocabulary(tuple(pieces), added)
