"""Questions of newcomers about images that no training showed, and whether the answers are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.evaluation.asking import Asked, Gallery, answers
from minigpt4.generation.settings import DecodingSettings
from minigpt4.metrics.class_words import class_words_in
from minigpt4.scenes.data.album import AlbumPhotograph
from minigpt4.scenes.photographs.photograph import SUBJECTS
from minigpt4.scenes.sampling import random_for
from minigpt4.scenes.words.languages import NEWCOMER_WORDINGS, Language
from minigpt4.scenes.words.newcomer import NewcomerType
from minigpt4.scenes.words.newcomer_questions import ask_newcomer

ASKED: tuple[tuple[NewcomerType, Language], ...] = (
    (NewcomerType.WHAT, "en"), (NewcomerType.WHAT, "zh"), (NewcomerType.MAIN_COLOUR, "en"),
)
LONGEST_ANSWER = 60
"""tokens"""


@dataclass(frozen=True)
class Answered:
    """One question, what was said, and whether it is right."""

    image: Path
    question: str
    wanted: str
    said: str
    right: bool


def ask_about(loaded: LoadedModel, photographs: Sequence[AlbumPhotograph]) -> list[Answered]:
    """Ask what photographs show, in both languages, and their main colour."""
    gallery = Gallery.encode(loaded, [each.path for each in photographs])
    asked, wanted = list[Asked](), list[str]()
    for number, photograph in enumerate(photographs):
        facts = photograph.as_it_is()
        for type, language in ASKED:
            words = ask_newcomer(facts, type, language, random_for("kept back", number, type))
            asked.append(Asked(number, words.question))
            wanted.append(words.answer)
    said = answers(loaded, gallery, asked, DecodingSettings(max_new_tokens=LONGEST_ANSWER))
    return [Answered(photographs[one.image].path, one.question, right, answer.text, answer.text == right)
            for one, right, answer in zip(asked, wanted, said, strict=True)]


def names_subject(said: str, subject: str, language: Language) -> bool:
    """Whether an answer names exactly one subject of photographs, the right one."""
    return subjects_named(said, language) == {subject}


def subjects_named(said: str, language: Language) -> set[str]:
    """The subjects of photographs that an answer names."""
    if language == "en":
        return class_words_in(said, SUBJECTS)
    return {name for name, noun in NEWCOMER_WORDINGS[language].subjects.items() if noun.head in said}
