"""A caption is right if it holds exactly the right class word."""

from __future__ import annotations

import pytest

from minigpt4.metrics.class_words import class_word_score, class_words_in

WORDS = ("rose", "tulip", "trousers")


@pytest.mark.parametrize(("caption", "found"), [
    ("A Rose.", {"rose"}), ("a rosebush", set()), ("a rose and a tulip", {"rose", "tulip"}), ("rose, rose", {"rose"}),
    ("", set()), ("a pair of trousers", {"trousers"}),
])
def test_whole_words_in_any_case(caption: str, found: set[str]) -> None:
    assert class_words_in(caption, WORDS) == found


def test_only_the_right_word_alone_counts() -> None:
    captions = [("a rose", "rose"), ("a rose and a tulip", "rose"), ("a tulip", "rose"), ("", "rose")]
    assert class_word_score(captions, WORDS).mean == 0.25
