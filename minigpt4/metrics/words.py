"""Words of a text, and how many of the wanted ones were said.

Case, punctuation and spacing do not count. A Chinese character is a word of its own: nothing stands between words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

_WORD = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]|[^\W_\u3400-\u9fff]+(?:['’][^\W_\u3400-\u9fff]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text, in order and in small letters."""
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def split_words(text: str) -> Iterator[tuple[str, str]]:
    """(stretch as it stands, its word or '' for what stands between words), in order; the stretches make the text."""
    end = 0
    for found in _WORD.finditer(text):
        if found.start() > end:
            yield text[end : found.start()], ""
        yield found[0], "".join(words_of(found[0]))
        end = found.end()
    if end < len(text):
        yield text[end:], ""


def is_exact(said: str, references: Sequence[str]) -> bool:
    """True where the words said are those of one reference, in its order."""
    return words_of(said) in [words_of(reference) for reference in references]


def contained(said: str, references: Sequence[str]) -> float:
    """Share of a reference's words that were said, each as often as it stands there; of the best reference."""
    spoken = Counter(words_of(said))
    return max((_share(Counter(words_of(reference)), spoken) for reference in references), default=0.0)


def _share(wanted: Counter[str], spoken: Counter[str]) -> float:
    """1 for a reference without a word: nothing of it is lacking."""
    return (wanted & spoken).total() / wanted.total() if wanted else 1.0
