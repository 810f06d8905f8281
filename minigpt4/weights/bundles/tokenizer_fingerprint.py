"""The fingerprint of a tokenizer: a hash over what its ids mean, not over the bytes of its files.

Hashed are the name of every id (pieces and added tokens) and the ids that begin and end a text and stand for unknown
words. `tokenizer.model` and `tokenizer.json` of one tokenizer agree. Merges and scores are not hashed: the two kinds of
file write them differently, and pieces are numbered in the order in which they were merged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt4.common.config.paths import portable
from minigpt4.common.errors import UserError
from minigpt4.common.files import ReadBytes
from minigpt4.weights.files.readers import read_json
from minigpt4.weights.files.vocabulary import Vocabulary, read_vocabulary

ROLES = ("bos_token", "eos_token", "unk_token")
NAMING_FILES = ("special_tokens_map.json", "tokenizer_config.json")
"""say which names of a `tokenizer.json` have a role; the later one wins"""


@dataclass(frozen=True)
class TokenizerFingerprint:
    """A tokenizer as the manifest of a bundle names it.

    Args:
        fingerprint: hash of what its ids mean.
        vocab_size: ids it can give, 0 to vocab_size - 1.
        place: its folder when it was last seen.
    """

    fingerprint: str
    vocab_size: int
    place: str

    def as_stored(self) -> dict[str, str | int]:
        """What a manifest says of it (the fingerprint is called `identity` there)."""
        return {"identity": self.fingerprint, "vocab_size": self.vocab_size, "place": portable(self.place)}

    def __str__(self) -> str:
        return f"the tokenizer {self.fingerprint[:12]} of {self.vocab_size} ids ({self.place})"


def fingerprint_of_tokenizer(folder: str | Path, read: ReadBytes = Path.read_bytes) -> TokenizerFingerprint:
    """The fingerprint of the tokenizer in a folder.

    Args:
        folder: holds tokenizer.model or tokenizer.json.
        read: opens its files.

    Raises:
        UserError: the folder holds none, or a damaged one.
    """
    folder = Path(folder)
    vocabulary = read_vocabulary(folder, read)
    if vocabulary is None:
        raise UserError("tokenizer.missing", where=str(folder), what="has neither tokenizer.model nor tokenizer.json",
                        fix="copy the tokenizer files there")
    names = {**dict(enumerate(vocabulary.pieces)), **{number: name for name, number in vocabulary.added.items()}}
    roles = vocabulary.special_ids or _named_roles(folder, vocabulary, read)
    lines = [f"{number} {names[number]}" for number in sorted(names)]
    lines += [f"{role} {roles[role]}" for role in ROLES if role in roles]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return TokenizerFingerprint(digest, vocabulary.num_rows, str(folder))


def _named_roles(folder: Path, vocabulary: Vocabulary, read: ReadBytes) -> dict[str, int]:
    """Ids of the roles that the JSON files beside a `tokenizer.json` name."""
    values: dict[str, Any] = {}
    for name in NAMING_FILES:
        if (folder / name).exists():
            content = read_json(folder / name, read)
            values.update(content if isinstance(content, Mapping) else {})
    numbers = {**{piece: number for number, piece in enumerate(vocabulary.pieces)}, **vocabulary.added}
    given = {role: values[role] for role in ROLES if values.get(role)}
    words = {role: entry.get("content") if isinstance(entry, Mapping) else entry for role, entry in given.items()}
    return {role: numbers[word] for role, word in words.items() if isinstance(word, str) and word in numbers}
