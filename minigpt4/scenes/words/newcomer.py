"""What people ask first, of a drawing or a photograph alike, as data: "What is this?", "Is there a dog?", "Hello".

Sentences hold fields in braces: {one} a thing with its article, {bare} without it, {colour}, {groups} …
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class NewcomerType(StrEnum):
    """What is asked; the value is its name in files and tables."""

    WHAT = "what"
    SEE = "see"
    IS_THERE = "is_there"
    MAIN_COLOUR = "main_colour"
    TELL = "tell"
    """about a thing that may not be there"""
    DESCRIBE = "describe"
    CAPTION = "caption_of_any"
    UNFAMILIAR = "unfamiliar"
    """about a thing that no text ever named"""
    UNTAUGHT = "untaught"
    """what no answer was ever taught to"""
    SAME = "same"
    HELLO = "hello"
    ABILITIES = "abilities"


@dataclass(frozen=True)
class Noun:
    """A thing with its article and without, and the one word that says what it is."""

    one: str
    bare: str
    head: str


@dataclass(frozen=True, kw_only=True)
class NewcomerWording:
    """A language's words and sentences for what newcomers ask."""

    subjects: Mapping[str, Noun]
    """subject of a photograph -> noun"""
    main_colours: Mapping[str, str]
    unknown: str
    photograph: str
    """these two stand for an image in words, in one piece"""
    questions: Mapping[NewcomerType, tuple[str, ...]]
    what_photograph: str
    what_drawing: str
    see: str
    do_not_know_this: str
    there_is: str
    there_is_not: str
    """{bare} is not in the image"""
    no_such: str
    """the same in answer to a question that took it for granted"""
    mainly: str
    colour_of_one: str
    colours_of_groups: str
    """one group of several, {group} its thing or things, {colour}"""
    colours_joint: tuple[str, str]
    """between the groups, at the end"""
    only_main: str
    where_subject: str
    do_not_know: str
    describe_photograph: str
    describe_unknown: str
    caption: str
    caption_with_colour: str
    caption_unknown: str
    both: str
    nothing_same: str
    conjunction: str
    comma: str
    unfamiliar: str
    """{one} is what no text ever named"""
    hello: tuple[str, str]
    """without and with an image"""
    abilities: str
    show_me: str
    """there is no image yet"""
    article: Callable[[str], str] = str
    """a bare noun -> with its article"""
    polish: Callable[[str], str] = str
    """last touch to a finished sentence"""

    def noun_of(self, bare: str) -> Noun:
        """Any word as a noun."""
        return Noun(self.article(bare), bare, bare)

    def joined(self, items: Sequence[str]) -> str:
        """a, b and c"""
        if len(items) == 1:
            return items[0]
        return self.comma.join(items[:-1]) + self.conjunction + items[-1]
