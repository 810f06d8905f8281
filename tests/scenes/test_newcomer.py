"""What newcomers ask: right answers for photographs, drawings and no image at all; nothing invented is ever left."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from benchmarks.unfamiliar_nouns import UNFAMILIAR_NOUNS
from minigpt4.records.conversations import IMAGE_MARK
from minigpt4.scenes.photographs.photograph import SUBJECTS, UNKNOWN, Photograph
from minigpt4.scenes.sampling import allowed_pairs, random_for
from minigpt4.scenes.scene import Group, Scene
from minigpt4.scenes.words.forgetting import invented_words
from minigpt4.scenes.words.languages import LANGUAGES, NEWCOMER_WORDINGS, Language
from minigpt4.scenes.words.lessons import Teacher
from minigpt4.scenes.words.newcomer import NewcomerType
from minigpt4.scenes.words.newcomer_lessons import ViewSource, newcomer_talk
from minigpt4.scenes.words.newcomer_questions import ask_newcomer, ask_same, things_of
from minigpt4.scenes.words.unfamiliar import MADE, ORDINARY
from minigpt4.scenes.words.word_vectors import View

TULIP, TROUSERS = Photograph("tulip", "green"), Photograph("trousers", "blue")
NOTHING_KNOWN = Photograph(UNKNOWN, "grey")
SCENE = Scene((Group("star", "red", 1, "big", 0), Group("car", "blue", 2, "small", 3)), "white", 1)
ONE_OF = [type for type in NewcomerType if type is not NewcomerType.SAME]


def answer(view: View | None, type: NewcomerType, language: Language = "en", seed: int = 0) -> str:
    return ask_newcomer(view, type, language, Random(seed)).answer


def test_where_nothing_known_is_shown_a_known_thing_is_not_there() -> None:
    for seed in range(20):
        assert answer(NOTHING_KNOWN, NewcomerType.IS_THERE, "en", seed).startswith("No, there ")
        assert answer(NOTHING_KNOWN, NewcomerType.IS_THERE, "zh", seed).startswith("没有")


@pytest.mark.parametrize(("view", "type", "language", "wanted"), [
    (TULIP, NewcomerType.WHAT, "en", "This is a photograph of a tulip."),
    (TULIP, NewcomerType.WHAT, "zh", "这是一张郁金香的照片。"),
    (TROUSERS, NewcomerType.SEE, "en", "I see a pair of trousers."),
    (Photograph("airplane", "blue"), NewcomerType.SEE, "en", "I see an airplane."),
    (SCENE, NewcomerType.SEE, "en", "I see a big red star and two small blue cars."),
    (SCENE, NewcomerType.WHAT, "zh", "这是一幅画，画着一个大的红色的星星和两个小的蓝色的汽车。"),
    (SCENE, NewcomerType.MAIN_COLOUR, "en", "The star is red, the cars are blue."),
    (TULIP, NewcomerType.MAIN_COLOUR, "zh", "主要是绿色的。"),
    (NOTHING_KNOWN, NewcomerType.WHAT, "en", "I do not know what this is."),
    (None, NewcomerType.WHAT, "en", "Please show me a picture."),
    (None, NewcomerType.HELLO, "en", "Hello! Show me a picture and ask me about it."),
    (TULIP, NewcomerType.DESCRIBE, "en", "This is a photograph of a tulip. It is mainly green."),
])
def test_the_right_answer(view: View | None, type: NewcomerType, language: Language, wanted: str) -> None:
    assert answer(view, type, language) == wanted


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_said_to_be_there_is_there(language: Language) -> None:
    wording = NEWCOMER_WORDINGS[language]
    for seed in range(200):
        for view in (TULIP, SCENE):
            asked = ask_newcomer(view, NewcomerType.IS_THERE, language, Random(seed))
            there = {"en": ("Yes", "tulip", ("star", "car")), "zh": ("是的", "郁金香", ("星星", "汽车"))}[language]
            names = (there[1],) if view is TULIP else there[2]
            assert asked.answer.startswith(there[0]) == any(name in asked.question for name in names), asked
            assert wording.do_not_know not in asked.answer


def test_two_images_have_in_common_what_both_show() -> None:
    other = Scene((Group("star", "blue", 3, "small", 1),), "sky", 1)
    assert ask_same((SCENE, other), "en", Random(0)).answer == "Both show a star."
    assert ask_same((TULIP, Photograph("tulip", "red")), "zh", Random(0)).answer == "两张图都有郁金香。"
    assert ask_same((TULIP, SCENE), "en", Random(0)).answer == "Nothing is the same."
    assert ask_same((NOTHING_KNOWN, NOTHING_KNOWN), "en", Random(0)).answer == "Nothing is the same."


def test_pairs_share_something_about_half_the_time() -> None:
    pairs = [ViewSource(allowed_pairs("train")).pair(Random(seed)) for seed in range(300)]
    shared = [bool(set(things_of(one)) & set(things_of(other))) for one, other in pairs]
    assert 0.4 < sum(shared) / len(shared) < 0.6


def test_a_talk_has_a_mark_for_every_view() -> None:
    kinds = Counter()
    for seed in range(200):
        talk = newcomer_talk(Random(seed), "en", ViewSource(allowed_pairs("train")), 150)
        assert sum(text.count(IMAGE_MARK) for text in talk.turns) == len(talk.views) and len(talk.turns) % 2 == 0
        kinds[len(talk.views)] += 1
    assert kinds[0] and kinds[1] > kinds[2] > 0


@pytest.mark.parametrize("type", ONE_OF)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_has_an_empty_field(type: NewcomerType, language: Language) -> None:
    for seed, view in enumerate((TULIP, TROUSERS, SCENE, NOTHING_KNOWN, None) * 4):
        asked = ask_newcomer(view, type, language, Random(seed))
        assert asked.question and asked.answer and not re.search(r"[{}]|  ", asked.question + asked.answer)
        assert asked.answer.isascii() == (language == "en")


def test_the_nouns_of_the_exam_are_in_no_text_of_the_training() -> None:
    teacher = Teacher(LANGUAGES, allowed_pairs("train"))
    texts = [turn.text for number in range(1500) for turn in teacher.lesson(random_for("exam", number)).turns]
    texts += [noun for nouns in (ORDINARY, MADE) for language in LANGUAGES for noun in nouns[language]]
    texts += [text for wording in NEWCOMER_WORDINGS.values() for forms in wording.questions.values() for text in forms]
    whole = " ".join(texts).lower()
    english = set(re.findall("[a-z]+", whole))
    assert not [noun for noun in UNFAMILIAR_NOUNS if noun in english]
    assert not [noun for noun in UNFAMILIAR_NOUNS.values() if noun in whole]
    assert len(UNFAMILIAR_NOUNS) >= 40


def test_photographs_never_speak_in_invented_words() -> None:
    teacher = Teacher(LANGUAGES, allowed_pairs("train"))
    for number in range(400):
        lesson = teacher.lesson(random_for("spoken", number))
        said = " ".join(turn.text for turn in lesson.turns)
        if any(subject in said.split() for subject in SUBJECTS) and "photograph of" in said:
            shown = " ".join(json.dumps(json.loads(image.data), ensure_ascii=False) for image in lesson.images
                             if image.data)
            assert not [word for word in invented_words() if re.search(rf"\b{word}\b", said + shown)]


def test_forgotten_words_leave_tokenizer_and_embedding(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    from minigpt4.datasets.tokenizer_training import train_tokenizer
    from minigpt4.scenes.words.forgetting import EMBEDDING, forget

    texts = ["a red star and a green bimu", "a bimu is there", "the star is red"] * 20
    size = train_tokenizer(texts, 330, tmp_path, whole_words=("star", "bimu"))
    weights = torch.arange(size, dtype=torch.float32).unsqueeze(1).repeat(1, 2)
    save_file({EMBEDDING: weights}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"tie_word_embeddings": True, "vocab_size": size}))
    before = AutoTokenizer.from_pretrained(tmp_path)
    rows = {piece: int(number) for piece, number in before.get_vocab().items()}
    assert forget(tmp_path, ("bimu",)) == 2
    after, kept = AutoTokenizer.from_pretrained(tmp_path), load_file(tmp_path / "model.safetensors")[EMBEDDING]
    assert after.tokenize("the red star") == before.tokenize("the red star")
    assert "Ġbimu" in before.get_vocab() and "Ġbimu" not in after.get_vocab() and "bimu" not in after.get_vocab()
    assert all(kept[number, 0] == rows[piece] for piece, number in after.get_vocab().items())
    assert len(kept) == size - 2 == json.loads((tmp_path / "config.json").read_text())["vocab_size"]
