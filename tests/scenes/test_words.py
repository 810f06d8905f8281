"""Questions are answered from the scene, in both languages, and name nothing that is held out."""

from __future__ import annotations

import pytest

from minigpt4.scenes.combinations import held_out, in_training
from minigpt4.scenes.sampling import random_for, sample_scene
from minigpt4.scenes.scene import COLOURS, KINDS, Group, Scene
from minigpt4.scenes.words.captions import caption, describe
from minigpt4.scenes.words.languages import LANGUAGES, WORDINGS, Language
from minigpt4.scenes.words.questions import QUESTION_TYPES, about, ask
from minigpt4.scenes.words.wording import QuestionType
from tests.scenes.namings import namings

SCENE = Scene((Group("umbrella", "orange", 1, "big", 0), Group("fish", "black", 3, "small", 1)), "meadow", 0)


def _answers(type: QuestionType, language: Language) -> set[str]:
    asked = [ask(SCENE, type, language, random_for(i), allowed=in_training()) for i in range(60)]
    return {exchange.answer for exchange in asked}


@pytest.mark.parametrize(
    ("type", "english", "chinese"),
    [
        ("colour", "The umbrella is orange.", "鱼是黑色的。"),
        ("count", "There are three fish.", "有一个雨伞。"),
        ("exists", "Yes, there is an orange umbrella.", "是的，有黑色的鱼。"),
        ("where", "The fish are at the top right.", "雨伞在左上角。"),
        ("what_is_at", "There is a big orange umbrella at the top left.", "左下角什么也没有。"),
        ("relation", "There is an orange umbrella to the left of the fish.", "雨伞的右边有三个黑色的鱼。"),
        ("size", "The fish are small.", "雨伞是大的。"),
        ("background", "The background is a meadow.", "背景是草地。"),
        ("kinds", "There are two kinds of things.", "图中有两种东西。"),
    ],
)
def test_answers_are_true_sentences(type: str, english: str, chinese: str) -> None:
    assert english in _answers(QuestionType(type), "en")
    assert chinese in _answers(QuestionType(type), "zh")


def test_every_type_has_words_in_every_language() -> None:
    for wording in WORDINGS.values():
        assert set(wording.questions) == set(QuestionType)


def test_longer_texts() -> None:
    english, chinese = describe(SCENE, "en"), describe(SCENE, "zh")
    assert english == ("The image shows two kinds of things. At the top left there is a big orange umbrella. "
                       "At the top right there are three small black fish. The background is a meadow.")
    assert chinese == "图中有两种东西。左上角有一个大的橙色的雨伞。右上角有三个小的黑色的鱼。背景是草地。"
    captions = {caption(SCENE, "en", random_for(i)) for i in range(40)}
    assert "three small black fish at the top right, a big orange umbrella at the top left" in captions
    assert len(captions) == 4, "two orders, with and without the background"
    told = about(SCENE, SCENE.groups[1], "en", random_for(0))
    assert told.answer == "The three fish are small and black. They are at the top right."


def test_about_half_of_the_things_asked_for_are_there() -> None:
    answers = [ask(SCENE, QuestionType.EXISTS, "en", random_for(i), allowed=in_training()).answer for i in range(400)]
    assert 160 < sum(answer.startswith("Yes") for answer in answers) < 240


@pytest.mark.parametrize("variant", [0, 1])
@pytest.mark.parametrize("language", LANGUAGES)
def test_training_words_name_no_held_out_combination(language: Language, variant: int) -> None:
    forbidden = namings(variant, language)
    for text in _training_texts(language, variant):
        assert not [naming for naming in forbidden if naming in text], text


def _training_texts(language: Language, variant: int) -> list[str]:
    texts, allowed = [], in_training(variant)
    for i in range(300):
        random = random_for("words", i)
        scene = sample_scene(random, allowed=allowed)
        texts += [caption(scene, language, random), describe(scene, language)]
        for type in (*QUESTION_TYPES, QuestionType.ABOUT):
            exchange = ask(scene, type, language, random, allowed=allowed)
            texts += [exchange.question, exchange.answer]
    return texts


def test_a_held_out_combination_would_be_seen() -> None:
    kind, colour = sorted(held_out())[0]
    scene = Scene((Group(kind, colour, 1, "big", 0),), "white", 0)
    assert any(naming in describe(scene, "en") for naming in namings(0, "en"))
    assert any(naming in describe(scene, "zh") for naming in namings(0, "zh"))


def test_the_lexicon_knows_every_word() -> None:
    for wording in WORDINGS.values():
        lexicon = wording.lexicon()
        assert set(lexicon["kind"].values()) == {*KINDS, "nothing"}
        assert set(lexicon["colour"].values()) == set(COLOURS)
