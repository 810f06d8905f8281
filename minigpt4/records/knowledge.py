"""What a model was trained to know, in words for people: shown wherever somebody meets the model."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """One sentence and some questions that the model was trained to answer."""

    summary: dict[str, str] = field(default_factory=dict)
    """language code (en, zh) -> what it was trained on, in one sentence"""
    questions: dict[str, list[str]] = field(default_factory=dict)
    """language code -> questions it was trained to answer; the first is asked where nobody asks"""

    def sentence(self, language: str = "en") -> str:
        """The summary in a language, else in English, else in any; '' if there is none."""
        return self.summary.get(language) or self.summary.get("en") or next(iter(self.summary.values()), "")

    def questions_in(self, language: str = "en") -> list[str]:
        """The questions in a language, else in English, else in any."""
        return self.questions.get(language) or self.questions.get("en") or next(iter(self.questions.values()), [])


def language_of(text: str) -> str:
    """The code of a text's language: Chinese as soon as it holds a Chinese character."""
    return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"
