"""Answers about scenes: all right words and no other; attributes by place; the form of an answer."""

from __future__ import annotations

import pytest

from minigpt4.scenes.exam.answers import (
    CATEGORIES,
    Reader,
    attribute_score,
    form_fault,
    is_right,
    majority_share,
)
from minigpt4.scenes.words.languages import WORDINGS, Language
from minigpt4.scenes.words.wording import QuestionType

READERS = {language: Reader(wording.lexicon()) for language, wording in WORDINGS.items()}

TRUTH = ("The image shows two kinds of things. At the top left there is a big red star. "
         "At the bottom right there are three small black fish. The background is the sky.")


@pytest.mark.parametrize(
    ("type", "language", "reference", "answer", "right"),
    [
        ("colour", "en", "The star is red.", "It is RED", True),
        ("colour", "en", "The star is red.", "The star is red or blue.", False),
        ("colour", "en", "The star is red.", "", False),
        ("colour", "en", "The star is red.", "The reddish star shines.", False),
        ("count", "en", "There are three stars.", "three", True),
        ("count", "zh", "有三个三角形。", "有三个三角形。", True),
        ("count", "zh", "有一个三角形。", "有三个三角形。", False),
        ("count", "zh", "有一个三角形。", "有一个三角形。", True),
        ("exists", "en", "No, there is no red star.", "No, there is nothing.", True),
        ("exists", "en", "Yes, there is a red star.", "Yes, there is no red star.", False),
        ("exists", "zh", "没有红色的星星。", "是的，有红色的星星。", False),
        ("where", "en", "The star is at the top left.", "top left", True),
        ("where", "en", "The star is at the top left.", "top left and top right", False),
        ("what_is_at", "en", "There is a big red star at the top left.", "A big red star.", True),
        ("what_is_at", "en", "There is a big red star at the top left.", "Two big red stars.", False),
        ("what_is_at", "zh", "左上角什么也没有。", "什么也没有。", True),
        ("relation", "en", "There is nothing above the car.", "There is a red star above the car.", False),
        ("background", "en", "The background is a meadow.", "a meadow", True),
        ("background", "zh", "背景是白色。", "背景是灰色。", False),
    ],
)
def test_right_and_wrong(type: str, language: Language, reference: str, answer: str, right: bool) -> None:
    assert is_right(answer, reference, type, READERS[language]) is right


def test_every_short_type_has_its_categories() -> None:
    assert set(CATEGORIES) == set(QuestionType) - {QuestionType.DESCRIPTION, QuestionType.CAPTION}


@pytest.mark.parametrize(
    ("text", "right", "count"),
    [
        (TRUTH, 9, 9),
        ("three small black fish at the bottom right, a big red star at the top left", 8, 9),
        (TRUTH.replace("red", "blue").replace("three", "two"), 7, 9),
        (TRUTH.replace("bottom right", "bottom left"), 5, 13),
        (TRUTH + " At the top right there is a small pink car.", 9, 13),
        ("", 0, 9),
    ],
)
def test_attributes_are_counted_place_by_place(text: str, right: int, count: int) -> None:
    tally = attribute_score(text, TRUTH, READERS["en"])
    assert (tally.total, tally.count) == (right, count)


def test_attributes_in_chinese() -> None:
    truth = "左上角有一个大的红色的三角形，右下角有三个小的黑色的鱼"
    assert attribute_score(truth, truth, READERS["zh"]).mean == 1.0
    blue = attribute_score(truth.replace("红色", "蓝色"), truth, READERS["zh"], background=False)
    assert (blue.total, blue.count) == (7, 8)


def test_the_majority_answer_may_repeat_the_question() -> None:
    asked = [(f"What is above the {kind}?", f"There is nothing above the {kind}.") for kind in ("car", "star")]
    asked.append(("What is below the key?", "There is a red star below the key."))
    assert majority_share(asked, "relation", READERS["en"]) == pytest.approx(2 / 3)
    assert majority_share([], "relation", READERS["en"]) == 0.0


@pytest.mark.parametrize(
    ("answer", "ended", "fault"),
    [
        ("The star is red.", True, ""),
        ("星星是红色的。", True, ""),
        ("The star is", False, "broken off"),
        ("a big red star at the top left", True, "bare caption"),
        ("The star is red. The star is red. The st", False, "repeats"),
        ("", True, "empty"),
        ("\n", False, "empty"),
    ],
)
def test_form(answer: str, ended: bool, fault: str) -> None:
    assert form_fault(answer, ended=ended) == fault
