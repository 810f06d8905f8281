"""The languages in which scenes are described."""

from __future__ import annotations

from typing import Literal

from minigpt4.records.knowledge import language_of
from minigpt4.scenes.words.chinese import CHINESE
from minigpt4.scenes.words.english import ENGLISH
from minigpt4.scenes.words.newcomer import NewcomerWording
from minigpt4.scenes.words.newcomer_chinese import CHINESE_NEWCOMER
from minigpt4.scenes.words.newcomer_english import ENGLISH_NEWCOMER
from minigpt4.scenes.words.wording import Wording

Language = Literal["en", "zh"]

WORDINGS: dict[Language, Wording] = {"en": ENGLISH, "zh": CHINESE}
NEWCOMER_WORDINGS: dict[Language, NewcomerWording] = {"en": ENGLISH_NEWCOMER, "zh": CHINESE_NEWCOMER}

LANGUAGES: tuple[Language, ...] = tuple(WORDINGS)


def written_in(text: str) -> Language:
    """The language of a text: Chinese as soon as it holds a Chinese character."""
    return "zh" if language_of(text) == "zh" else "en"
