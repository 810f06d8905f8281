"""`tokenizer.model` as the slow LlamaTokenizer of transformers 4 read it.

Text between special tokens is encoded by sentencepiece alone. With `legacy` (transformers before 4.31, and folders that
say so) each stretch gets a leading blank of its own; without, only the piece as a whole does.
Source: transformers v4.37.2, `models/llama/tokenization_llama.py` and `tokenization_utils.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError
from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

from minigpt4.common.errors import UserError
from minigpt4.common.files import ReadBytes
from minigpt4.conversation.pieces import Span
from minigpt4.conversation.special_tokens import (
    AddedToken,
    Atom,
    TokenFinder,
    encode_atoms,
    read_tokenizer_config,
)
from minigpt4.conversation.tokenizer import Encoded

BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
"""sentencepiece's mark of a blank"""


class SentencePieceTokenizer:
    """`tokenizer.model` of a folder, with the tokens that its JSON files add.

    Args:
        folder: holds tokenizer.model.
        legacy: see the module; None = as the folder says.
        read: opens its files.

    Raises:
        UserError: a file of the folder cannot be read.
    """

    def __init__(self, folder: Path, *, legacy: bool | None = None, read: ReadBytes = Path.read_bytes) -> None:
        proto = _read_model(folder / "tokenizer.model", read)
        self.model = SentencePieceProcessor(model_proto=proto.SerializeToString())
        proto.normalizer_spec.add_dummy_prefix = False
        self._without_prefix = SentencePieceProcessor(model_proto=proto.SerializeToString())
        config = read_tokenizer_config(folder, read)
        self.legacy = (config.legacy is not False) if legacy is None else legacy
        self.adds_bos = config.adds_bos is not False
        self.chat_template = config.chat_template
        self.tokens = self._control_tokens() | dict(config.added)
        for name in {*config.roles.values(), *config.additional} - self.tokens.keys():
            if (number := self.piece_id(name)) is not None:
                self.tokens[name] = AddedToken(name, number, has_role=True)
        self.bos_token_id = self._role(config.roles.get("bos_token"), self.model.bos_id())
        self.eos_token_id = self._role(config.roles.get("eos_token"), self.model.eos_id())
        self._finder = TokenFinder(self.tokens)
        self.special_tokens = {name: token.number for name, token in self.tokens.items() if token.special}
        self.vocab_size = max(self.model.GetPieceSize(), *(token.number + 1 for token in self.tokens.values()))
        self._names = {token.number: token for token in self.tokens.values()}
        self._forbidden = frozenset(self.special_tokens.values()) - {self.model.unk_id()}

    def encode_spans(self, spans: Sequence[Span], *, specials_in_text: bool = False) -> Encoded:
        atoms = self._finder.split(spans, specials_in_text=specials_in_text)
        forbidden = frozenset() if specials_in_text else self._forbidden
        return encode_atoms(self._with_first_blank(atoms), self._encode_stretch, tuple(self.special_tokens), forbidden)

    def encode(self, text: str, *, specials: bool) -> list[int]:
        return self.encode_spans([Span(text, own=specials)]).ids if text else []

    def piece_id(self, piece: str) -> int | None:
        number = self.model.PieceToId(piece)
        return None if number == self.model.unk_id() and piece != self.model.IdToPiece(number) else int(number)

    def decode(self, ids: Sequence[int], *, skip_specials: bool = True) -> str:
        """Stretches between added tokens are decoded alone, as the slow LlamaTokenizer did."""
        stretches: list[str] = []
        plain: list[int] = []
        for number in ids:
            token = self._names.get(number)
            if token is None:
                plain.append(number)
                continue
            if plain:
                stretches.append(self.model.DecodeIds(plain))
                plain = []
            if not (skip_specials and token.special):
                stretches.append(token.name)
        if plain:
            stretches.append(self.model.DecodeIds(plain))
        return "".join(stretches)

    def _control_tokens(self) -> dict[str, AddedToken]:
        numbers = (self.model.unk_id(), self.model.bos_id(), self.model.eos_id())
        return {self.model.IdToPiece(number): AddedToken(self.model.IdToPiece(number), number, has_role=True)
                for number in numbers if number >= 0}

    def _role(self, name: str | None, otherwise: int) -> int | None:
        if name in self.tokens:
            return self.tokens[name].number
        return otherwise if otherwise >= 0 else None

    def _with_first_blank(self, atoms: list[Atom]) -> list[Atom]:
        """Without `legacy` the blank before a piece is part of its text; a token with a role swallows it."""
        if self.legacy or not atoms:
            return atoms
        first = atoms[0]
        if first.token is None:
            return [Atom(BLANK + first.text, [first.owners[0], *first.owners]), *atoms[1:]]
        return atoms if first.token.has_role else [Atom(BLANK, [first.owners[0]]), *atoms]

    def _encode_stretch(self, text: str, after_token: bool, inside: bool) -> list[tuple[int, int]]:
        """(id, place of its last character) of each piece; with `legacy` one behind a token has a blank, too."""
        model = self.model if self.legacy and not inside else self._without_prefix
        places = [place for place, character in enumerate(text) for _ in character.encode("utf-8", "surrogatepass")]
        found = model.Encode(text, return_type="proto").pieces  # whose offsets count bytes
        return [(piece.id, places[min(max(piece.begin, piece.end - 1), len(places) - 1)]) for piece in found]


def _read_model(path: Path, read: ReadBytes) -> ModelProto:
    proto = ModelProto()
    try:
        proto.ParseFromString(read(path))
    except DecodeError as error:
        raise UserError("tokenizer.damaged", where=str(path), what=f"is not a sentencepiece model ({error})",
                        fix="download or copy it again") from error
    if not proto.pieces:
        raise UserError("tokenizer.damaged", where=str(path), what="is a sentencepiece model without pieces",
                        fix="download or copy it again")
    return proto
