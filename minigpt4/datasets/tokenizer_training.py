"""A tokenizer for small models trained from nothing: byte-level BPE over the texts of the data sets.

Any text can be written with it, as all 256 bytes are pieces. Ids 0, 1, 2 are `<unk>`, `<s>`, `</s>` as in Llama.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_folder, write_json

SPECIALS = ("<unk>", "<s>", "</s>")
NUM_BYTES = 256


def train_tokenizer(texts: Iterable[str], vocab_size: int, folder: Path, extra: Sequence[str] = ()) -> int:
    """Train and write `tokenizer.json` and `tokenizer_config.json`, which AutoTokenizer reads.

    Args:
        texts: what the pieces are learned from.
        vocab_size: pieces in all, the 256 bytes and the specials among them; fewer where the texts are short.
        folder: new or empty.
        extra: further special tokens.

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
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=specials, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    names = {"unk_token": SPECIALS[0], "bos_token": SPECIALS[1], "eos_token": SPECIALS[2]}
    with atomic_folder(folder) as part:
        tokenizer.save(str(part / "tokenizer.json"))
        write_json(part / "tokenizer_config.json", {
            "tokenizer_class": "PreTrainedTokenizerFast", **names, "additional_special_tokens": list(extra),
            "clean_up_tokenization_spaces": False,
        })
    return int(tokenizer.get_vocab_size())
