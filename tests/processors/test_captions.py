"""Cleaning of captions beside the recorded pairs (those are in tests/parity)."""

from __future__ import annotations

import pytest

from minigpt4.common.errors import UserError
from minigpt4.processors.captions import TextProcessorConfig, build_text_processor


def test_identity_changes_nothing() -> None:
    assert build_text_processor(TextProcessorConfig())("A Rose.  \n") == "A Rose.  \n"


def test_blip_caption_keeps_commas_and_counts_words() -> None:
    clean = build_text_processor(TextProcessorConfig(name="blip_caption", max_words=3, prompt="a photo of "))
    assert clean("Red, RED; rose's leaf!") == "a photo of red, red rose's"


def test_unknown_name_and_wrong_number() -> None:
    with pytest.raises(UserError, match="did you mean 'blip_caption'"):
        build_text_processor(TextProcessorConfig(name="blip_captoin"))
    with pytest.raises(UserError, match="use 1 or more"):
        TextProcessorConfig(max_words=0)
