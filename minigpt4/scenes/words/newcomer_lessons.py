"""Conversations that a newcomer would have, about drawings and photographs in words.

About one view, about two images at once, with an image that comes later, or without any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from minigpt4.records.conversations import IMAGE_MARK
from minigpt4.scenes.photographs.photograph import MAIN_COLOURS, SUBJECTS, UNKNOWN, Photograph
from minigpt4.scenes.sampling import sample_scene
from minigpt4.scenes.scene import Pair, Scene
from minigpt4.scenes.words.languages import Language
from minigpt4.scenes.words.newcomer import NewcomerType
from minigpt4.scenes.words.newcomer_questions import ask_newcomer, ask_same, caption_of, things_of
from minigpt4.scenes.words.word_vectors import View

TYPE_WEIGHTS: Mapping[NewcomerType, float] = {
    NewcomerType.WHAT: 3, NewcomerType.SEE: 1.5, NewcomerType.IS_THERE: 5, NewcomerType.MAIN_COLOUR: 2.5,
    NewcomerType.TELL: 2, NewcomerType.DESCRIBE: 1.5, NewcomerType.CAPTION: 0.7, NewcomerType.UNFAMILIAR: 5,
    NewcomerType.UNTAUGHT: 1.2, NewcomerType.HELLO: 0.6, NewcomerType.ABILITIES: 0.4,
}
"""how often each is asked"""
KIND_WEIGHTS: Mapping[str, float] = {
    "photograph": 46, "drawing": 20, "no_image": 6, "same": 16, "later_image": 5, "caption": 14,
}
"""what a conversation is about"""
UNKNOWN_SHARE = 0.2
"""of the photographs: images that show nothing known"""
UNKNOWN_IN_PAIRS = 0.05
SAME_WEIGHTS: Mapping[str, float] = {"photographs": 55, "drawings": 35, "mixed": 10}
SHARED_SHARE = 0.55
"""of the pairs of images: something is on both"""
FEW_GROUPS = (40, 40, 20)
"""how often a drawing of a pair shows one, two, three groups"""
SAMPLED = 40
"""attempts at a pair that shares something, or nothing"""


@dataclass(frozen=True)
class Talk:
    """What is shown and what user and assistant say in turn; an `IMAGE_MARK` stands for each view."""

    views: tuple[View, ...]
    turns: tuple[str, ...]


def photograph_facts(random: Random, unknown_share: float) -> Photograph:
    """Facts of a photograph by chance; in some share nothing known is on it."""
    subject = UNKNOWN if random.random() < unknown_share else random.choice(SUBJECTS)
    return Photograph(subject, random.choice(MAIN_COLOURS))


@dataclass(frozen=True)
class ViewSource:
    """Where views come from.

    Args:
        allowed: combinations of kind and colour that drawings may show.
        photograph: draws a photograph; its second argument is the share of those that show nothing known.
        unknown_share: that share, but in pairs.
        fresh: share of unfamiliar nouns that are made for one question.
    """

    allowed: frozenset[Pair]
    photograph: Callable[[Random, float], Photograph] = photograph_facts
    unknown_share: float = UNKNOWN_SHARE
    fresh: float = 0.0

    def scene(self, random: Random) -> Scene:
        return sample_scene(random, allowed=self.allowed)

    def any_photograph(self, random: Random) -> Photograph:
        return self.photograph(random, self.unknown_share)

    def any(self, random: Random) -> View:
        """A photograph or a drawing."""
        return self.any_photograph(random) if random.random() < 0.5 else self.scene(random)

    def pair(self, random: Random) -> tuple[View, View]:
        """Two images, about half of them with a thing that both show."""
        (kind,) = random.choices(list(SAME_WEIGHTS), list(SAME_WEIGHTS.values()))
        wanted = random.random() < SHARED_SHARE
        first = self._one_of_pair(random, kind != "drawings")
        second = self._one_of_pair(random, kind == "photographs")
        if kind == "mixed":
            return (first, second) if random.random() < 0.5 else (second, first)
        for _ in range(SAMPLED):
            if bool(set(things_of(first)) & set(things_of(second))) == wanted:
                break
            second = self._one_of_pair(random, kind == "photographs")
        return first, second

    def _one_of_pair(self, random: Random, is_photograph: bool) -> View:
        if is_photograph:
            return self.photograph(random, UNKNOWN_IN_PAIRS)
        return sample_scene(random, allowed=self.allowed, group_weights=FEW_GROUPS)


def newcomer_talk(random: Random, language: Language, source: ViewSource, enough_bytes: int,
                  kinds: Mapping[str, float] = KIND_WEIGHTS) -> Talk:
    """One conversation.

    Args:
        source: where drawings and photographs come from.
        enough_bytes: of words, after which no further question is asked.
        kinds: how often a conversation is of each kind.
    """
    (kind,) = random.choices(list(kinds), list(kinds.values()))
    if kind == "same":
        views = source.pair(random)
        asked = ask_same(views, language, random)
        return Talk(views, (f"{IMAGE_MARK} {IMAGE_MARK} {asked.question}", asked.answer))
    if kind == "caption":
        photograph = source.any_photograph(random)
        return Talk((photograph,), (IMAGE_MARK, caption_of(photograph, language, random)))
    if kind == "no_image":
        return Talk((), tuple(_questions(None, random, language, enough_bytes // 2, source.fresh)))
    drawn = {"later_image": source.any, "photograph": source.any_photograph, "drawing": source.scene}
    view = drawn[kind](random)
    first = _shown(view, random, language, enough_bytes if kind != "later_image" else enough_bytes // 3, source.fresh)
    if kind != "later_image":
        return Talk((view,), first)
    later = source.any(random)
    return Talk((view, later), (*first, *_shown(later, random, language, enough_bytes // 3, source.fresh)))


def _shown(view: View, random: Random, language: Language, enough_bytes: int, fresh: float) -> tuple[str, ...]:
    words = _questions(view, random, language, enough_bytes, fresh)
    return f"{IMAGE_MARK} {words[0]}", *words[1:]


def _questions(view: View | None, random: Random, language: Language, enough_bytes: int, fresh: float) -> list[str]:
    """Questions and answers in turn, none of them twice."""
    words: list[str] = []
    while sum(len(text.encode()) for text in words) < enough_bytes:
        (type,) = random.choices(list(TYPE_WEIGHTS), list(TYPE_WEIGHTS.values()))
        asked = ask_newcomer(view, type, language, random, fresh)
        if asked.question not in words:
            words += [asked.question, asked.answer]
    return words
