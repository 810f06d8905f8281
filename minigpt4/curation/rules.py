"""Which descriptions are not worth learning, and why: length, repetition, hedging, language, a broken end."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from minigpt4.records.conversations import IMAGE_MARK

Language = Literal["en", "zh", "any"]

HEDGES = (
    "as an ai", "language model", "i'm sorry", "i am sorry", "i cannot see", "i can't see", "unable to",
    "it is unclear", "not clear from", "do not know what", "hard to tell", "difficult to tell",
    "cannot be determined", "no image",
    "作为一个", "语言模型", "抱歉", "无法看到", "无法确定", "看不清", "不知道这是什么",
)
"""words of somebody who does not describe"""
CJK = re.compile(r"[\u3400-\u9fff]")
LETTER = re.compile(r"[^\W\d_]")
ENDS = (".", "!", "?", '"', "”", "。", "！", "？", "…", ")")
PHRASE = 4
"""words of a phrase whose repetition is counted"""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Bounds of a description.

    Args:
        min_words, max_words: of a description; a Chinese character counts as a word.
        max_repeated: share of its phrases of four words that occur before.
        language: what it must be written in.
    """

    min_words: int = 10
    max_words: int = 400
    max_repeated: float = 0.2
    language: Language = "any"

    def fault(self, text: str) -> str:
        """Why a description is dropped; empty if it is not."""
        words = words_of(text)
        checks = (
            (not text.strip(), "it is empty"),
            (len(words) < self.min_words, f"{len(words)} words, fewer than {self.min_words}"),
            (len(words) > self.max_words, f"{len(words)} words, more than {self.max_words}"),
            (IMAGE_MARK in text, f"contains {IMAGE_MARK}"),
            (bool(hedge := _hedge(text)), f"says '{hedge}'"),
            ((repeated := _repeated(words)) > self.max_repeated, f"{repeated:.0%} of its phrases are repeated"),
            (_sentence_twice(text), "says a sentence twice"),
            (not _is_in(text, self.language), f"is not written in {self.language}"),
            (not text.rstrip().endswith(ENDS), "breaks off"),
        )
        return next((reason for is_wrong, reason in checks if is_wrong), "")


def words_of(text: str) -> list[str]:
    """Words and Chinese characters, in small letters."""
    return re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:['’][^\W_]+)?", text.lower())


def _hedge(text: str) -> str:
    small = text.lower()
    return next((hedge for hedge in HEDGES if hedge in small), "")


def _repeated(words: list[str]) -> float:
    phrases = [tuple(words[first : first + PHRASE]) for first in range(len(words) - PHRASE + 1)]
    return 1 - len(set(phrases)) / len(phrases) if phrases else 0.0


def _sentence_twice(text: str) -> bool:
    sentences = [part.strip().lower() for part in re.split(r"[.!?。！？]", text)]
    return any(number > 1 for sentence, number in Counter(sentences).items() if len(words_of(sentence)) > PHRASE)


def _is_in(text: str, language: Language) -> bool:
    letters = len(LETTER.findall(text))
    if language == "any" or not letters:
        return language == "any"
    share = len(CJK.findall(text)) / letters
    if language == "zh":
        return share > 0.5
    return share < 0.1 and sum(letter.isascii() for letter in text) / len(text) > 0.8
