"""A tokenizer for small models trained from scratch: byte-level BPE over the texts of the data sets.

Any text can be written with it, as all 256 bytes are pieces. Ids 0, 1, 2 are `<unk>`, `<s>`, `</s>` as in Llama.
Chinese characters are pieces of their own unless they form a word that is kept whole: BPE would merge phrases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_folder, write_json

SPECIALS = ("<unk>", "<s>", "</s>")
NUM_BYTES = 256
WHOLE_WORD_COUNT = 500
"""how often a word that is kept whole counts, so that its merges come first"""
CHINESE = r"[\u4e00-\u9fff]"
OTHER_TEXT = r" ?\p{L}+| ?\p{N}+|[^\s\p{L}\p{N}]|\s+(?!\S)|\s+"
"""words, numbers, signs and blanks, as GPT-2 cut them; each sign alone, so that '.###' is two"""


def train_tokenizer(texts: Iterable[str], vocab_size: int, folder: Path, extra: Sequence[str] = (),
                    whole_words: Sequence[str] = ()) -> int:
    """Train and write `tokenizer.json` and `tokenizer_config.json`, which AutoTokenizer reads.

    Args:
        texts: what the pieces are learned from.
        vocab_size: pieces in all, the 256 bytes and the specials among them; fewer where the texts are short.
        folder: new or empty.
        extra: further special tokens.
        whole_words: words of which each is one piece, English ones with and without the blank before them.

    Returns:
        the number of pieces.

    Raises:
        UserError: `vocab_size` is too small, or the folder holds something.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    specials = [*SPECIALS, *extra]
    least = NUM_BYTES + len(specials)
    if vocab_size < least:
        raise UserError("data.vocabulary", where="--vocab-size", what=f"is {vocab_size}", fix=f"use {least} or more")
    if folder.exists() and any(folder.iterdir()):
        raise UserError("data.exists", where=str(folder), what="is not empty", fix="choose a new folder with --output")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _cutter(whole_words)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=specials, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    forms = [form for word in whole_words for form in ((word, f" {word}") if word[0].isascii() else (word,))]
    tokenizer.train_from_iterator(chain(texts, *(repeat(form, WHOLE_WORD_COUNT) for form in forms)), trainer)
    names = {"unk_token": SPECIALS[0], "bos_token": SPECIALS[1], "eos_token": SPECIALS[2]}
    with atomic_folder(folder) as part:
        tokenizer.save(str(part / "tokenizer.json"))
        write_json(part / "tokenizer_config.json", {
            "tokenizer_class": "PreTrainedTokenizerFast", **names, "additional_special_tokens": list(extra),
            "clean_up_tokenization_spaces": False,
        })
    return int(tokenizer.get_vocab_size())


def _cutter(whole_words: Sequence[str]) -> Any:
    """Where text is cut before pieces are learned."""
    from tokenizers import Regex, pre_tokenizers

    patterns = [*(pattern_of(word) for word in sorted(whole_words, key=len, reverse=True)), CHINESE, OTHER_TEXT]
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex("|".join(patterns)), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def pattern_of(word: str) -> str:
    """A word: in letters it may have a blank before and a plural's s behind it, signs stand alone."""
    if not word[0].isascii():
        return word
    return rf" ?\b{re.escape(word)}(?=s?\b)" if word[0].isalpha() else re.escape(word)
