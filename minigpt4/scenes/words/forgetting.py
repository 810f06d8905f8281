"""Takes words out of a language model for good: their pieces leave tokenizer and embedding, so nothing can say them.

Invented words are needed while a language model learns to read; afterwards nobody should ever hear one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, write_json
from minigpt4.datasets.tokenizer_training import pattern_of
from minigpt4.scenes.words.invented import INVENTED_COLOURS, INVENTED_KINDS
from minigpt4.scenes.words.languages import LANGUAGES
from minigpt4.weights.files.readers import read_json

EMBEDDING = "model.embed_tokens.weight"
WEIGHTS = "model.safetensors"


def invented_words() -> tuple[str, ...]:
    """All invented words of all languages."""
    return tuple(word for language in LANGUAGES for word in (*INVENTED_KINDS[language], *INVENTED_COLOURS[language]))


def forget(folder: Path, words: Collection[str]) -> int:
    """Remove whole words from the language model of a folder, whose output layer is its input embedding.

    Args:
        folder: a Hugging Face folder with `tokenizer.json`, `config.json` and one `model.safetensors`.
        words: each of them one piece (English ones with and without the blank before them).

    Returns:
        the number of pieces that are gone.

    Raises:
        UserError: the output layer is one of its own.
    """
    config, tokenizer = read_json(folder / "config.json"), read_json(folder / "tokenizer.json")
    tensors = load_file(folder / WEIGHTS)
    if not config.get("tie_word_embeddings") or "lm_head.weight" in tensors:
        raise UserError("forget.untied", where=str(folder), what="has an output layer of its own",
                        fix="take a language model whose embeddings are tied")
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    gone = {piece for word in words for piece in _pieces(word)} & vocabulary.keys()
    kept = sorted((piece for piece in vocabulary if piece not in gone), key=vocabulary.__getitem__)
    tensors[EMBEDDING] = tensors[EMBEDDING][[vocabulary[piece] for piece in kept]].contiguous()
    _write(folder, tokenizer, kept, gone, words)
    with atomic_file(folder / WEIGHTS) as part:
        save_file(tensors, part, metadata={"format": "pt"})
    write_json(folder / "config.json", {**config, "vocab_size": len(kept)})
    return len(gone)


def _write(folder: Path, tokenizer: dict[str, Any], kept: Sequence[str], gone: set[str], words: Collection[str]
           ) -> None:
    model = tokenizer["model"]
    model["vocab"] = {piece: number for number, piece in enumerate(kept)}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) not in gone and not gone & set(pair)]
    cutter = tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]
    patterns = {pattern_of(word) for word in words}
    cutter["Regex"] = "|".join(each for each in cutter["Regex"].split("|") if each not in patterns)
    for added in tokenizer["added_tokens"]:
        added["id"] = model["vocab"][added["content"]]
    with atomic_file(folder / "tokenizer.json") as part:
        part.write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _pieces(word: str) -> list[str]:
    """A word as the vocabulary of a byte-level tokenizer writes it."""
    from tokenizers import pre_tokenizers

    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return [as_bytes.pre_tokenize_str(form)[0][0] for form in (word, f" {word}")]
