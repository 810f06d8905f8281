"""CIDEr-D (Vedantam and others, arXiv 1411.5726): how much answers agree with references, rare wordings counting most.

N-grams of one to four words, weighed by how few of the images have them in a reference; counts are clipped at the
reference's, and an answer that is longer or shorter than its reference loses (a Gaussian of six words). 0 to 10; the
weights come from the references themselves, so numbers of different sets of images cannot be compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from minigpt4.metrics.words import words_of

LONGEST = 4
"""words of an n-gram"""
LENGTH_SIGMA = 6.0
"""words by which an answer may differ in length until it loses 40 %"""
BEST = 10.0

NGram = tuple[str, ...]


def cider_d(said: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The score of every image; their mean is the score of the set.

    Args:
        said: an answer an image.
        references: one or more texts an image, in the same order.
    """
    counted = [[_ngrams(text) for text in texts] for texts in references]
    images_with = Counter(ngram for texts in counted for ngram in set().union(*texts))
    rarity = {ngram: math.log(len(references) / number) for ngram, number in images_with.items()}
    unseen = math.log(len(references)) if references else 0.0
    return [_score(_ngrams(answer), texts, rarity, unseen) for answer, texts in zip(said, counted, strict=True)]


def _ngrams(text: str) -> Counter[NGram]:
    words = words_of(text)
    return Counter(tuple(words[first : first + length]) for length in range(1, LONGEST + 1)
                   for first in range(len(words) - length + 1))


def _score(said: Counter[NGram], references: Sequence[Counter[NGram]], rarity: Mapping[NGram, float],
           unseen: float) -> float:
    answer = _weighed(said, rarity, unseen)
    of_each = [_similarity(answer, _weighed(reference, rarity, unseen)) * _of_lengths(said, reference)
               for reference in references]
    return BEST * sum(of_each) / len(of_each)


def _weighed(counts: Counter[NGram], rarity: Mapping[NGram, float], unseen: float) -> list[dict[NGram, float]]:
    """N-gram -> count times rarity, one table for each length."""
    tables: list[dict[NGram, float]] = [{} for _ in range(LONGEST)]
    for ngram, count in counts.items():
        tables[len(ngram) - 1][ngram] = count * rarity.get(ngram, unseen)
    return tables


def _similarity(answer: Sequence[Mapping[NGram, float]], reference: Sequence[Mapping[NGram, float]]) -> float:
    """Mean over the lengths of the clipped cosine."""
    return sum(map(_cosine, answer, reference)) / LONGEST


def _cosine(answer: Mapping[NGram, float], reference: Mapping[NGram, float]) -> float:
    norms = math.hypot(*answer.values()) * math.hypot(*reference.values())
    common = sum(min(weight, reference.get(ngram, 0.0)) * reference.get(ngram, 0.0)
                 for ngram, weight in answer.items())
    return common / norms if norms else 0.0


def _of_lengths(said: Counter[NGram], reference: Counter[NGram]) -> float:
    difference = _length(said) - _length(reference)
    return math.exp(-difference * difference / (2 * LENGTH_SIGMA**2))


def _length(counts: Counter[NGram]) -> int:
    return sum(count for ngram, count in counts.items() if len(ngram) == 1)
