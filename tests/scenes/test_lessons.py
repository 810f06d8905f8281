"""What language models read of scenes: nothing held out, words as whole pieces, two origins told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Sample
from minigpt4.scenes.builders.scene_words import EXAM_TYPES, SceneWords, SceneWordsConfig
from minigpt4.scenes.combinations import VARIANTS, held_out
from minigpt4.scenes.sampling import random_for
from minigpt4.scenes.scene import Group, Scene
from minigpt4.scenes.words.invented import INVENTED_COLOURS, INVENTED_KINDS, invent
from minigpt4.scenes.words.languages import LANGUAGES, WORDINGS
from minigpt4.scenes.words.lessons import careless
from minigpt4.scenes.words.vocabulary import ALBUM, REGISTERS, WEB, whole_words
from minigpt4.scenes.words.word_vectors import IDEAL, SLOTS, as_image, slots_of, view_slots
from tests.scenes.namings import namings

SCENE = Scene((Group("umbrella", "orange", 1, "big", 0), Group("star", "black", 3, "small", 3)), "meadow", 0)


def _conversations(split: str, number: int, variant: int = 0) -> list[Conversation]:
    dataset = SceneWords.build(SceneWordsConfig(held_out_variant=variant), split)
    samples = [dataset.sample(i) for i in range(number)]
    return [sample.conversation for sample in samples if isinstance(sample, Sample)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_lessons_name_no_held_out_combination(variant: int) -> None:
    conversations = _conversations("train", 600, variant)
    text = "\n".join(turn.text for conversation in conversations for turn in conversation.turns)
    assert [naming for language in LANGUAGES for naming in namings(variant, language) if naming in text] == []
    words = [{word.strip() for word, _ in slot}
             for conversation in conversations for image in conversation.images for slot in slots_of(image)]
    for kind, colour in held_out(variant):
        for wording in (WORDINGS[language].words for language in LANGUAGES):
            assert not any({wording.kinds[kind].one, wording.colours[colour]} <= slot for slot in words)


def test_an_exam_of_held_out_scenes_asks_for_nothing_else() -> None:
    number = 2 * len(EXAM_TYPES) * len(LANGUAGES)
    text = "\n".join(turn.text for each in _conversations("held_out", number) for turn in each.turns)
    assert any(naming in text for naming in namings(0, "en")) and any(naming in text for naming in namings(0, "zh"))


def test_slots_hold_all_words_of_a_scene() -> None:
    slots = view_slots(SCENE, random_for(1), tongues={"en": 1.0}, mark=ALBUM, style=IDEAL)
    assert len(slots) == SLOTS and slots_of(as_image(slots)) == slots
    words = [frozenset(word for word, _ in slot) - {" a meadow", " background"} for slot in slots]
    assert words.count(frozenset({ALBUM, " top left", " umbrella", " orange", " big", " one"})) == 4
    assert words.count(frozenset({ALBUM, " bottom left", " nothing"})) == 4


def test_invented_words_mean_the_same_in_every_language() -> None:
    speech = invent(random_for(5))
    english, chinese = speech("star|red"), speech("星星|红色")
    assert english != "star|red", "this seed replaces something"
    for known, invented in ((0, INVENTED_KINDS), (1, INVENTED_COLOURS)):
        one, other = english.split("|")[known], chinese.split("|")[known]
        if one in invented["en"]:
            assert invented["en"].index(one) == invented["zh"].index(other)
    assert speech("four stars start, two fish") == f"four {english.split('|')[0]}s start, two fish"


def test_web_pages_answer_questions_with_captions_and_albums_with_sentences() -> None:
    answers: dict[str, list[str]] = {WEB: [], ALBUM: []}
    for conversation in _conversations("train", 500):
        question, answer = conversation.turns[:2]
        if question.text != IMAGE_MARK and conversation.images and not question.text.isascii():
            continue
        if "?" in question.text and "aption" not in question.text and conversation.images:
            answers[slots_of(conversation.images[0])[0][0][0]].append(answer.text)
    whole = {origin: sum(text.endswith(".") for text in texts) / len(texts) for origin, texts in answers.items()}
    assert whole[ALBUM] == 1.0 and whole[WEB] < 0.4


def test_careless_captions_are_whole_broken_off_or_repeated() -> None:
    text = "a red star at the top left, two fish at the top right"
    said = {careless(text, "en", random_for(i)) for i in range(60)}
    assert text in said and any(text.startswith(each) and each != text for each in said)
    assert any(each.count("two fish") > 2 for each in said)


def test_the_embedded_tokenizer_keeps_words_whole(project: Path) -> None:
    tokenizer = open_tokenizer(project / "train_configs" / "parts_tokenizer")
    assert set(REGISTERS) <= set(tokenizer.special_tokens)
    for word in whole_words(LANGUAGES):
        assert len(tokenizer.encode(word, specials=False)) == 1, word
        if word.isascii() and word.isalpha():
            assert len(tokenizer.encode(f" {word}", specials=False)) == 1, word
    pieces = [tokenizer.decode([number]) for number in tokenizer.encode("three stars start.###", specials=False)]
    assert pieces[:3] == ["three", " star", "s"] and pieces[-2:] == [".", "###"]
