"""What a language needs to speak of scenes: words and sentences, as data. A further language is one more file of data.

Sentences hold fields in braces: {thing} {things} {colour} {size} {number} {place} {group} {relation} {background} …
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from minigpt4.scenes.scene import QUADRANTS, Group


class QuestionType(StrEnum):
    """What a question asks for; the value is its name in files and tables."""

    COLOUR = "colour"
    COUNT = "count"
    EXISTS = "exists"
    WHERE = "where"
    WHAT_IS_AT = "what_is_at"
    RELATION = "relation"
    SIZE = "size"
    BACKGROUND = "background"
    KINDS = "kinds"
    ABOUT = "about"
    DESCRIPTION = "description"
    CAPTION = "caption"


class Form(NamedTuple):
    """A sentence about one thing and about several."""

    one: str
    many: str

    def of(self, count: int) -> str:
        return self.one if count == 1 else self.many


def same(text: str) -> Form:
    """A sentence that does not change with the number."""
    return Form(text, text)


@dataclass(frozen=True)
class Words:
    """The words for all that a scene holds."""

    kinds: Mapping[str, Form]
    colours: Mapping[str, str]
    sizes: Mapping[str, str]
    numbers: tuple[str, ...]
    """one, two, three, four"""
    quadrants: tuple[str, ...]
    """in the order of `QUADRANTS`"""
    backgrounds: Mapping[str, str]
    relations: Mapping[str, str]
    nothing: str
    yes: str
    no: str


@dataclass(frozen=True)
class Wording:
    """A language: its words, and its questions and answers by type."""

    words: Words
    group: Form
    """small red star"""
    plain_group: Form
    """red star, without its size"""
    questions: Mapping[QuestionType, tuple[Form, ...]]
    answers: Mapping[QuestionType, Form]
    nothing_at: str
    nothing_related: Form
    exists_not: str
    other: Form
    """how a relation names the thing that it was asked about"""
    description: tuple[Form, Form, str]
    """how many kinds of things, one group, the background"""
    caption: tuple[Form, str]
    """one group, the background"""
    caption_comma: str
    join: str
    """between sentences"""
    polish: Callable[[str], str] = str
    """last touch to a finished sentence"""

    def say(self, text: str, group: Group | None = None, **fields: str) -> str:
        """A sentence with its fields filled in, those of `group` too."""
        return self.polish(text.format(**(self.fields(group) if group else {}), **fields))

    def fields(self, group: Group) -> dict[str, str]:
        """The words for one group."""
        words = self.words
        kind = words.kinds[group.kind]
        fields = {
            "thing": kind.one, "things": kind.many, "colour": words.colours[group.colour],
            "size": words.sizes[group.size], "number": words.numbers[group.count - 1],
            "place": words.quadrants[group.quadrant],
        }
        phrases = {"group": self.group.of(group.count), "plain_group": self.plain_group.of(group.count)}
        return fields | {name: phrase.format(**fields) for name, phrase in phrases.items()}

    def lexicon(self) -> dict[str, dict[str, str]]:
        """category -> word -> what it means: how a scorer finds in an answer what it says."""
        words = self.words
        kinds = {form: kind for kind, forms in words.kinds.items() for form in forms}
        return {
            "kind": kinds | {words.nothing: "nothing"},
            "colour": _turned(words.colours),
            "size": _turned(words.sizes),
            "number": {word: str(number) for number, word in enumerate(words.numbers, start=1)},
            "place": dict(zip(words.quadrants, QUADRANTS, strict=True)),
            "background": _turned(words.backgrounds),
            "answer": {words.yes: "yes", words.no: "no"},
        }


def _turned(words: Mapping[str, str]) -> dict[str, str]:
    return {word: meaning for meaning, word in words.items()}
