"""Is an answer about a drawn scene right? Words of the categories that count are compared with a reference answer's.

All right words and nothing else of their categories: an answer that names every colour knows none. What counts as a
word comes from a `Lexicon`, so that every language is scored by the same code.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from minigpt4.metrics.tally import Tally

Lexicon = Mapping[str, Mapping[str, str]]
"""category (kind, colour, …) -> word as written -> what it means"""

Mention = tuple[str, str]
"""category and meaning"""

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "colour": ("colour",),
    "count": ("number",),
    "exists": ("answer",),
    "where": ("place",),
    "what_is_at": ("kind", "colour", "number", "size"),
    "relation": ("kind", "colour", "number"),
    "size": ("size",),
    "background": ("background",),
    "kinds": ("number",),
    "about": ("kind", "colour", "number", "size", "place"),
}
"""type of a question -> what must be right in its answer"""

GROUP_CATEGORIES = ("kind", "colour", "number", "size")
"""what a longer text tells of the things at one place"""

_CLAUSE_ENDS = re.compile(r"[,.;，。；\n]")
_SENTENCE_ENDS = re.compile(r"[.!?。！？\n]")
_PROPER_ENDS = (".", "!", "?", "。", "！", "？")


@dataclass(frozen=True)
class Reader:
    """Finds the words of a lexicon in a text."""

    lexicon: Lexicon

    def mentions(self, text: str, categories: Collection[str]) -> set[Mention]:
        """What a text says of some categories."""
        found = (self._meanings[match.group().lower()] for match in self._words.finditer(text))
        return {mention for mention in found if mention[0] in categories}

    @cached_property
    def _meanings(self) -> Mapping[str, Mention]:
        return {
            word.lower(): (category, meaning)
            for category, words in self.lexicon.items() for word, meaning in words.items()
        }

    @cached_property
    def _words(self) -> re.Pattern[str]:
        """Any word, the longest first: 三角形 is a triangle and no three. Latin words are whole words."""
        longest_first = sorted(self._meanings, key=len, reverse=True)
        patterns = [rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word) for word in longest_first]
        return re.compile("|".join(patterns), re.IGNORECASE)


def is_right(answer: str, reference: str, type: str, reader: Reader) -> bool:
    """An answer says what the reference says, in the categories of its type."""
    categories = CATEGORIES[type]
    return reader.mentions(answer, categories) == reader.mentions(reference, categories)


def attribute_score(text: str, reference: str, reader: Reader, *, background: bool = True) -> Tally:
    """How many attributes of a caption or description are right.

    For every place that either text tells of: kind, colour, number and size. Things invented at an empty place are
    wrong attributes. `background` counts too, unless a text may leave it out.
    """
    said, true = _by_place(text, reader), _by_place(reference, reader)
    marks = [
        place in said and place in true and _of(said[place], category) == _of(true[place], category)
        for place in {*said, *true} for category in GROUP_CATEGORIES
    ]
    if background:
        marks.append(reader.mentions(text, ("background",)) == reader.mentions(reference, ("background",)))
    return Tally(sum(marks), len(marks))


def _by_place(text: str, reader: Reader) -> dict[str, set[Mention]]:
    """place -> what the clauses that name it say."""
    found: dict[str, set[Mention]] = {}
    for clause in _CLAUSE_ENDS.split(text):
        for _, place in reader.mentions(clause, ("place",)):
            found.setdefault(place, set()).update(reader.mentions(clause, GROUP_CATEGORIES))
    return found


def _of(mentions: Iterable[Mention], category: str) -> set[Mention]:
    return {mention for mention in mentions if mention[0] == category}


def majority_share(questions: Sequence[tuple[str, str]], type: str, reader: Reader) -> float:
    """The best that one fixed answer to all questions of a type can do.

    Args:
        questions: (question, reference answer); what the question says itself ("beside the star") may be repeated.
    """
    categories = CATEGORIES[type]
    said = Counter(
        frozenset(reader.mentions(reference, categories) - reader.mentions(question, categories))
        for question, reference in questions
    )
    return said.most_common(1)[0][1] / len(questions) if questions else 0.0


def form_fault(answer: str, *, ended: bool) -> str:
    """What is wrong with the form of an answer to an instruction; empty if nothing is.

    Args:
        answer: what was said.
        ended: the model stopped of its own accord, not at the limit.
    """
    sentences = [sentence.strip() for sentence in _SENTENCE_ENDS.split(answer) if sentence.strip()]
    faults = (
        ("empty", not sentences),
        ("repeats", len(set(sentences)) < len(sentences)),
        ("broken off", not ended),
        ("bare caption", not answer.strip().endswith(_PROPER_ENDS)),
    )
    return next((name for name, is_so in faults if is_so), "")
