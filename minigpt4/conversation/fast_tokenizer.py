"""`tokenizer.json` through the tokenizers library, with the offsets of each id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tokenizers

from minigpt4.common.errors import UserError
from minigpt4.common.files import ReadBytes
from minigpt4.conversation.pieces import Span
from minigpt4.conversation.special_tokens import AddedToken, TokenFinder, encode_atoms, read_tokenizer_config
from minigpt4.conversation.tokenizer import Encoded

AFTER_TOKEN = "\ufdd0"
"""stands before a stretch that follows a token, so that the tokenizer treats it as one that does; Unicode promises that
no text holds this character"""


class FastTokenizer:
    """`tokenizer.json` of a folder.

    Args:
        folder: holds tokenizer.json.
        read: opens its files.

    Raises:
        UserError: the file cannot be read.
    """

    def __init__(self, folder: Path, read: ReadBytes = Path.read_bytes) -> None:
        try:
            self.model = tokenizers.Tokenizer.from_str(read(folder / "tokenizer.json").decode())
        except Exception as error:  # the library raises bare Exceptions
            raise UserError("tokenizer.damaged", where=str(folder / "tokenizer.json"), what=f"cannot be read ({error})",
                            fix="download or copy it again") from error
        config = read_tokenizer_config(folder, read)
        with_role = {*config.roles.values(), *config.additional}
        self.tokens = {
            token.content: AddedToken(token.content, number, token.special or token.content in with_role, token.lstrip,
                                      token.rstrip, token.content in with_role)
            for number, token in self.model.get_added_tokens_decoder().items()
        }
        for name in with_role - self.tokens.keys():  # a word of the vocabulary that only the config calls special
            if (number := self.piece_id(name)) is not None:
                self.tokens[name] = AddedToken(name, number, has_role=True)
        self._finder = TokenFinder(self.tokens)
        self.special_tokens = {name: token.number for name, token in self.tokens.items() if token.special}
        self.vocab_size = self.model.get_vocab_size(with_added_tokens=True)
        self.bos_token_id = self._role(config.roles.get("bos_token"))
        self.eos_token_id = self._role(config.roles.get("eos_token"))
        self.adds_bos = self.bos_token_id is not None and self.model.encode("").ids[:1] == [self.bos_token_id]
        self.chat_template = config.chat_template
        self._forbidden = frozenset(self.special_tokens.values()) - {self._role(config.roles.get("unk_token"))}
        self._plain = tokenizers.Tokenizer.from_str(self.model.to_str())
        self._plain.no_truncation()
        self._plain.no_padding()
        self._plain.encode_special_tokens = True
        self._plain.add_tokens([tokenizers.AddedToken(AFTER_TOKEN, normalized=False)])

    def encode_spans(self, spans: Sequence[Span], *, specials_in_text: bool = False) -> Encoded:
        atoms = self._finder.split(spans, specials_in_text=specials_in_text)
        forbidden = frozenset() if specials_in_text else self._forbidden
        return encode_atoms(atoms, self._encode_stretch, tuple(self.special_tokens), forbidden)

    def encode(self, text: str, *, specials: bool) -> list[int]:
        return self.encode_spans([Span(text, own=specials)]).ids if text else []

    def piece_id(self, piece: str) -> int | None:
        number: int | None = self.model.token_to_id(piece)
        return number

    def decode(self, ids: Sequence[int], *, skip_specials: bool = True) -> str:
        text: str = self.model.decode(list(ids), skip_special_tokens=skip_specials)
        return text

    def _role(self, name: str | None) -> int | None:
        return None if name is None else self.piece_id(name)

    def _encode_stretch(self, text: str, after_token: bool, inside: bool) -> list[tuple[int, int]]:
        """(id, place of its last character) of each token of plain text."""
        before = AFTER_TOKEN if after_token or inside else ""
        encoding = self._plain.encode(before + text.replace(AFTER_TOKEN, "\ufffd"), add_special_tokens=False)
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        found = [(number, max(start, end - 1) - len(before)) for number, (start, end) in pairs]
        return found[len(before) :]
