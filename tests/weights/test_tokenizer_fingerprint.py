"""One tokenizer has one fingerprint, whatever file it lies in; another one has another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from minigpt4.common.errors import UserError
from minigpt4.weights.bundles.tokenizer_fingerprint import fingerprint_of_tokenizer
from tests import tiny
from tests.parity import minigpt4_folder as oracle


def test_sentencepiece_and_tokenizer_json_agree(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    slow = oracle.folder() / "parts" / "llm"
    AutoTokenizer.from_pretrained(str(slow), local_files_only=True).save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").exists() and not (tmp_path / "tokenizer.model").exists()
    one, other = fingerprint_of_tokenizer(slow), fingerprint_of_tokenizer(tmp_path)
    assert (one.fingerprint, one.vocab_size) == (other.fingerprint, other.vocab_size)


def test_an_added_token_makes_another_one() -> None:
    parts = oracle.folder() / "parts"
    with_pad, without = fingerprint_of_tokenizer(parts / "llm"), fingerprint_of_tokenizer(parts / "llm_llama2")
    assert with_pad.vocab_size == without.vocab_size + 1
    assert with_pad.fingerprint != without.fingerprint


def test_the_same_words_with_another_beginning_are_another_one(tmp_path: Path) -> None:
    shutil.copytree(tiny.tokenizer_folder(), tmp_path / "other")
    path = tmp_path / "other" / "tokenizer_config.json"
    own = fingerprint_of_tokenizer(tiny.tokenizer_folder()).fingerprint
    assert fingerprint_of_tokenizer(tmp_path / "other").fingerprint == own
    path.write_text(json.dumps({**json.loads(path.read_text()), "bos_token": {"content": "</s>"}}))
    assert fingerprint_of_tokenizer(tmp_path / "other").fingerprint != own


def test_a_folder_without_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has neither tokenizer.model nor tokenizer.json"):
        fingerprint_of_tokenizer(tmp_path)
