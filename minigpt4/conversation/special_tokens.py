"""The tokens of a tokenizer folder that are not pieces of words: which exist, which are special, what they strip.

Read from `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, as transformers writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from minigpt4.common.errors import UserError
from minigpt4.common.files import ReadBytes
from minigpt4.conversation.pieces import Span
from minigpt4.conversation.tokenizer import Encoded

ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


TOKENIZER_CONFIG, SPECIAL_MAP = "tokenizer_config.json", "special_tokens_map.json"
HALF_PAIR = re.compile("[\ud800-\udfff]")
"""half of a surrogate pair, which JSON may hold and no tokenizer takes"""


@dataclass(frozen=True)
class AddedToken:
    """A token by name.

    Args:
        special: never part of what people see; a person's text is never read as one.
        strips_before, strips_after: blanks beside it disappear (`lstrip`, `rstrip`).
        has_role: BOS, EOS, UNK, PAD or an additional special token of the folder.
    """

    name: str
    number: int
    special: bool = True
    strips_before: bool = False
    strips_after: bool = False
    has_role: bool = False


@dataclass(frozen=True)
class TokenizerConfig:
    """What the folder's JSON files say."""

    roles: Mapping[str, str]
    """bos_token, eos_token, … -> name"""
    additional: tuple[str, ...]
    """additional special tokens"""
    added: Mapping[str, AddedToken]
    legacy: bool | None
    adds_bos: bool | None
    chat_template: str | None


def read_tokenizer_config(folder: Path, read: ReadBytes = Path.read_bytes) -> TokenizerConfig:
    """Read the JSON files beside a tokenizer; absent ones say nothing.

    Raises:
        UserError: one of them is not JSON.
    """
    config, special_map = (_checked(folder / name, read) for name in (TOKENIZER_CONFIG, SPECIAL_MAP))
    roles = {role: name for role in ROLES if (name := _name(special_map.get(role)) or _name(config.get(role)))}
    extra = special_map.get("additional_special_tokens") or config.get("additional_special_tokens") or []
    additional = tuple(name for each in extra if (name := _name(each)))
    with_role = {*roles.values(), *additional}
    added = {name: AddedToken(name, number, has_role=name in with_role)
             for name, number in _numbers(folder / "added_tokens.json", read).items()}
    for number, entry in (config.get("added_tokens_decoder") or {}).items():
        name = _name(entry)
        if not name or not isinstance(entry, Mapping) or not (number.isascii() and number.isdigit()):
            place = f"{folder / 'tokenizer_config.json'}: added_tokens_decoder.{number}"
            raise UserError("tokenizer.damaged", where=place, what=f"is {entry!r}, not a token with its content",
                            fix="download or copy the file again")
        added[name] = AddedToken(name, int(number), bool(entry.get("special")) or name in with_role,
                                 bool(entry.get("lstrip")), bool(entry.get("rstrip")), name in with_role)
    file = folder / "chat_template.jinja"
    return TokenizerConfig(roles, additional, added, config.get("legacy"), config.get("add_bos_token"),
                           _text(file, read) if file.exists() else _default_template(config.get("chat_template")))


@dataclass
class Atom:
    """A token by name (`number`), or a stretch of plain text with the owner of each of its characters."""

    text: str
    owners: list[int]
    token: AddedToken | None = None


class TokenFinder:
    """Finds the tokens of a tokenizer by name.

    Args:
        tokens: by name.
    """

    def __init__(self, tokens: Mapping[str, AddedToken]) -> None:
        self.tokens = tokens
        self._all = _pattern(tokens)
        self._ordinary = _pattern(name for name, token in tokens.items() if not token.special)

    def split(self, spans: Sequence[Span], *, specials_in_text: bool) -> list[Atom]:
        """Spans -> tokens by name and the plain stretches between them, which may run over several spans.

        Special tokens are found in the template's own spans, and in people's too where `specials_in_text`; added tokens
        that are not special are found everywhere. Blanks that a token swallows are taken out of its neighbours.
        """
        atoms: list[Atom] = []
        for owner, span in enumerate(spans):
            pattern = self._all if span.own or specials_in_text else self._ordinary
            text = HALF_PAIR.sub("\ufffd", span.text)
            stretches = pattern.split(text) if pattern else [text]
            for number, stretch in enumerate(stretches):
                if number % 2:  # what the pattern found
                    atoms.append(Atom(stretch, [owner], self.tokens[stretch]))
                elif stretch and atoms and atoms[-1].token is None:
                    atoms[-1].text += stretch
                    atoms[-1].owners += [owner] * len(stretch)
                elif stretch:
                    atoms.append(Atom(stretch, [owner] * len(stretch)))
        _swallow_blanks(atoms)
        return [atom for atom in atoms if atom.text]


def _swallow_blanks(atoms: Sequence[Atom]) -> None:
    for before, after in zip(atoms, atoms[1:], strict=False):
        if before.token is not None and before.token.strips_after and after.token is None:
            kept = after.text.lstrip()
            after.text, after.owners = kept, after.owners[len(after.owners) - len(kept) :]
        if after.token is not None and after.token.strips_before and before.token is None:
            before.text = before.text.rstrip()
            before.owners = before.owners[: len(before.text)]


class EncodesStretch(Protocol):
    """Ids of a stretch of plain text."""

    def __call__(self, text: str, after_token: bool, inside: bool) -> list[tuple[int, int]]:
        """(id, place of its last character) of each token.

        Args:
            text: without a token by name.
            after_token: a token stands before it.
            inside: it continues a stretch that was cut only so that it does not become a token.
        """


def encode_atoms(atoms: Sequence[Atom], encode: EncodesStretch, names: Sequence[str], forbidden: frozenset[int]
                 ) -> Encoded:
    """Ids of a piece and their owners.

    Args:
        atoms: what `TokenFinder.split` made of it.
        encode: the tokenizer's own.
        names: of the special tokens.
        forbidden: ids that plain text must not become; text that would is cut inside the names that it spells.
    """
    ids: list[int] = []
    owners: list[int] = []
    for number, atom in enumerate(atoms):
        if atom.token is not None:
            ids.append(atom.token.number)
            owners.append(atom.owners[0])
            continue
        encoded = encode(atom.text, number > 0, False)
        if forbidden.intersection(each for each, _ in encoded):
            encoded = _encode_in_parts(atom.text, encode, names, after_token=number > 0)
        ids += [each for each, _ in encoded]
        owners += [atom.owners[min(place, len(atom.owners) - 1)] for _, place in encoded]
    return Encoded(ids, owners)


def _encode_in_parts(text: str, encode: EncodesStretch, names: Sequence[str], *, after_token: bool
                     ) -> list[tuple[int, int]]:
    encoded: list[tuple[int, int]] = []
    start = 0
    for part in cut_inside_names(text, names):
        encoded += [(number, start + place) for number, place in encode(part, after_token, start > 0)]
        start += len(part)
    return encoded


def cut_inside_names(text: str, names: Sequence[str]) -> list[str]:
    """Plain text that spells tokens, cut behind the first character of each: its parts cannot become the token."""
    pattern = _pattern(names)
    if pattern is None:
        return [text]
    parts, start = [], 0
    for found in pattern.finditer(text):
        parts.append(text[start : found.start() + 1])
        start = found.start() + 1
    return [*parts, text[start:]]


def _pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    ordered = sorted(names, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, ordered)) + ")") if ordered else None


def _default_template(value: object) -> str | None:
    """A template, or the one called default in a list of named ones."""
    if isinstance(value, list):
        named = {each.get("name"): each.get("template") for each in value if isinstance(each, Mapping)}
        value = named.get("default")
    return value if isinstance(value, str) else None


def _text(path: Path, read: ReadBytes) -> str:
    try:
        return read(path).decode()
    except (UnicodeDecodeError, OSError) as error:
        raise UserError("tokenizer.damaged", where=str(path), what="is not a file of UTF-8 text",
                        fix="download or copy it again") from error


def _name(entry: object) -> str:
    """A token is written as its name, or as an object with `content`."""
    if isinstance(entry, Mapping):
        entry = entry.get("content")
    return entry if isinstance(entry, str) and not HALF_PAIR.search(entry) else ""


def _is_token(entry: object) -> bool:
    return entry is None or entry == "" or bool(_name(entry))


def _checked(path: Path, read: ReadBytes) -> dict[str, Any]:
    """The values of tokenizer_config.json or special_tokens_map.json, each of the kind that is read here."""
    values = _json(path, read)
    kinds: dict[str, tuple[bool, str]] = {
        **{role: (_is_token(values.get(role)), "a token") for role in ROLES},
        "additional_special_tokens": (_are_tokens(values.get("additional_special_tokens")), "a list of tokens"),
        "added_tokens_decoder": (isinstance(values.get("added_tokens_decoder"), Mapping | None), "an object"),
        "tokenizer_class": (isinstance(values.get("tokenizer_class"), str | None), "a text"),
        **{flag: (isinstance(values.get(flag), bool | None), "true or false") for flag in ("legacy", "add_bos_token")},
    }
    for key, (fits, wanted) in kinds.items():
        if not fits:
            raise UserError("tokenizer.damaged", where=f"{path}: {key}", what=f"is {values[key]!r:.80}, not {wanted}",
                            fix="download or copy the file again")
    return values


def _are_tokens(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(_name(each) for each in value))


def _numbers(path: Path, read: ReadBytes) -> dict[str, int]:
    """Name -> id of added_tokens.json."""
    values = _json(path, read)
    for name, number in values.items():
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 31 or not _name(name):
            raise UserError("tokenizer.damaged", where=f"{path}: {name!r:.80}", what=f"is {number!r:.80}, not an id",
                            fix="download or copy the file again")
    return values


def _json(path: Path, read: ReadBytes) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        values = json.loads(read(path).decode())
    except OSError as error:
        raise UserError("file.unreadable", where=str(path), what=f"cannot be read ({error.strerror})",
                        fix="download or copy it again") from error
    except (ValueError, RecursionError) as error:
        raise UserError("file.json", where=str(path), what=f"is not JSON ({error})",
                        fix="download or copy it again") from error
    if not isinstance(values, dict):
        raise UserError("file.json", where=str(path), what=f"holds a {type(values).__name__}, not an object",
                        fix="download or copy it again")
    return values
