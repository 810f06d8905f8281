"""Streams without half characters, folders without a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt4.common.errors import UserError
from minigpt4.conversation.tokenizer import StreamDecoder, open_tokenizer
from tests import tiny


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="ab 你好世界é😀", max_size=20))
def test_a_stream_is_the_text_without_half_characters(text: str) -> None:
    tokenizer = open_tokenizer(tiny.tokenizer_folder())
    stream = StreamDecoder(tokenizer)
    pieces = [stream.push(number) for number in tokenizer.encode(text, specials=False)]
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)
    assert "".join(pieces) + stream.finish() == text


def test_half_a_character_at_the_end_is_shown_as_such() -> None:
    tokenizer = open_tokenizer(tiny.tokenizer_folder())
    stream = StreamDecoder(tokenizer)
    first_byte = tokenizer.encode("😀", specials=False)[0]
    assert stream.push(first_byte) == ""
    assert stream.finish() == "\N{REPLACEMENT CHARACTER}"


def test_specials_count_only_where_they_are_asked_for() -> None:
    tokenizer = open_tokenizer(tiny.tokenizer_folder())
    end = tokenizer.special_tokens["</s>"]
    assert tokenizer.encode("a</s>", specials=True)[-1] == end
    assert end not in tokenizer.encode("a</s>", specials=False)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither tokenizer.model nor tokenizer.json"):
        open_tokenizer(tmp_path)


def test_half_a_surrogate_pair_is_a_replacement_character() -> None:
    """JSON may hold one; no tokenizer takes it."""
    tokenizer = open_tokenizer(tiny.tokenizer_folder())
    assert tokenizer.encode("a\ud83d", specials=False) == tokenizer.encode("a\ufffd", specials=False)


def test_a_word_that_only_the_config_calls_special_is_a_token(tmp_path: Path) -> None:
    """As transformers reads it: tokenizer.json may hold no added tokens at all."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "tokenizer.json"))
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(roles))
    tokenizer = open_tokenizer(tmp_path)
    assert tokenizer.special_tokens == {"<unk>": 0, "<s>": 1, "</s>": 2}
    assert tokenizer.encode("a</s>a", specials=True) == [3, 2, 3]
    assert not {1, 2} & set(tokenizer.encode("a </s> a", specials=False))


@pytest.mark.parametrize(("name", "content", "sentence"), [
    ("tokenizer.model", b"garbage", "tokenizer.model: is not a sentencepiece model"),
    ("tokenizer.model", b"", "is a sentencepiece model without pieces"),
    ("tokenizer.json", b"garbage", "tokenizer.json: cannot be read"),
    ("tokenizer_config.json", b"[]", "tokenizer_config.json: holds a list, not an object"),
    ("tokenizer_config.json", b"{", "tokenizer_config.json: is not JSON"),
    ("tokenizer_config.json", b'{"added_tokens_decoder": {"7": "<x>"}}', "added_tokens_decoder.7: is '<x>'"),
])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    for file in tiny.tokenizer_folder().iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        open_tokenizer(tmp_path)
