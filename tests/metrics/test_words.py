"""Words wanted and said."""

from __future__ import annotations

import pytest

from minigpt4.metrics.words import contained, is_exact, split_words, words_of


@pytest.mark.parametrize(("text", "words"), [
    ("Looks like a Tulip, to me.", ["looks", "like", "a", "tulip", "to", "me"]), ("", []), ("?!", []),
    ("It’s a_b 2", ["it's", "a", "b", "2"]), ("一朵rose红。", ["一", "朵", "rose", "红"]),
    ("Straße ÉTÉ", ["strasse", "été"]),
])
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_stretches_make_the_text() -> None:
    found = list(split_words("A Rose, 红!"))
    assert found == [("A", "a"), (" ", ""), ("Rose", "rose"), (", ", ""), ("红", "红"), ("!", "")]


def test_exact_is_word_for_word_in_any_reference() -> None:
    assert is_exact("a red rose", ["A rose.", "A red rose!"])
    assert not is_exact("rose red a", ["A red rose!"]) and not is_exact("", ["A rose."])


@pytest.mark.parametrize(("said", "references", "share"), [
    ("a red rose", ["A red rose."], 1.0), ("a rose in a very red vase", ["A red rose."], 1.0),
    ("a tulip", ["a red rose", "one tulip"], 0.5), ("rose", ["rose rose tulip lily"], 0.25), ("", ["rose"], 0.0),
    ("x", ["..."], 1.0),
])
def test_the_share_of_contained_words(said: str, references: list[str], share: float) -> None:
    assert contained(said, references) == pytest.approx(share)
