"""Does a caption name the right thing, and only that?

The score of the photographs (docs/photos.md): a caption is right if it holds exactly one of the class words, as
a whole word, and it is the one of its image. Two class words are wrong: a caption that lists them all knows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from minigpt4.metrics.tally import Tally


def class_words_in(caption: str, words: Collection[str]) -> set[str]:
    """Class words that the caption holds as whole words, any case."""
    lower = caption.lower()
    return {word for word in words if re.search(rf"\b{re.escape(word.lower())}\b", lower)}


def class_word_score(captions: Iterable[tuple[str, str]], words: Collection[str]) -> Tally:
    """(caption, right word) pairs -> how many captions hold the right word and no other."""
    marks = [class_words_in(caption, words) == {right} for caption, right in captions]
    return Tally(sum(marks), len(marks))
