"""CIDEr-D against values computed by hand."""

from __future__ import annotations

import math

import pytest

from minigpt4.metrics.cider import cider_d


def test_two_images_by_hand() -> None:
    """'a' is in every reference and weighs ln 1 = 0; 'b', 'c', 'a b', 'a c' weigh ln 2.

    'a b' for 'a b': cosine 1 for one and for two words, none for three and four -> 10 (1 + 1) / 4. For 'a c': 0.
    """
    assert cider_d(["a b", "a b"], [["a b"], ["a c"]]) == pytest.approx([5.0, 0.0])


def test_repetition_is_clipped_and_length_costs_by_hand() -> None:
    """'a b b': 'b' weighs 2 ln 2 against ln 2, clipped ln 2 ln 2 / (2 ln 2 ln 2) = 1/2; 'a b' beside the unseen 'b b',
    of equal weight: 1/sqrt 2; one word too many: exp(-1 / 72)."""
    expected = 10 * (0.5 + 1 / math.sqrt(2)) / 4 * math.exp(-1 / 72)
    assert cider_d(["a b b", "a c"], [["a b"], ["a c"]]) == pytest.approx([expected, 5.0])


def test_several_references_are_averaged_by_hand() -> None:
    """'b' is in both references of the first image, which counts as one image: weight ln 2 all the same."""
    assert cider_d(["b", "c"], [["b", "c b"], ["c"]])[0] == pytest.approx(
        10 * (1 / 4 + (1 / 4) * math.exp(-1 / 72)) / 2)


def test_four_equal_words_are_the_best_there_is() -> None:
    said = ["a red rose here", "two grey shoes there"]
    assert cider_d(said, [[text] for text in said]) == pytest.approx([10.0, 10.0])


def test_nothing_said_and_nothing_to_tell_apart_are_zero() -> None:
    assert cider_d(["", "x"], [["a"], ["b"]]) == [0.0, 0.0]
    assert cider_d(["a", "a"], [["a"], ["a"]]) == [0.0, 0.0]
    assert cider_d([], []) == []
