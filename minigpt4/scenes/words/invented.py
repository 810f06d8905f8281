"""Invented words, put in the place of kinds and colours while a language model learns to speak of scenes.

A model that only ever meets the combinations of training learns that there is no such thing as a red star. From words
whose combinations are all new it learns to say what it is shown instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import combinations
from random import Random

from minigpt4.scenes.scene import COLOURS, KINDS
from minigpt4.scenes.words.languages import WORDINGS, Language

KIND_SHARE, COLOUR_SHARE = 0.6, 0.4
"""of the words that are replaced where words are invented"""

_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "t", "v", "w", "y", "z")
_CHARACTERS = "甲乙丙丁戊己庚辛壬癸"
INVENTED_KINDS: Mapping[Language, tuple[str, ...]] = {
    "en": tuple(onset + rest for onset in _ONSETS for rest in ("imu", "epok", "uldo")),
    "zh": tuple(one + other for one, other in combinations(_CHARACTERS, 2)),
}
INVENTED_COLOURS: Mapping[Language, tuple[str, ...]] = {
    "en": tuple(f"{onset}ovy" for onset in _ONSETS[:12]),
    "zh": tuple(f"{branch}色" for branch in "子丑寅卯辰巳午未申酉戌亥"),
}
"""word i of one language means what word i of the other means"""

_KEPT = ("fish", "umbrella", "orange")
"""words with an article or plural of their own stay: an invented word has none"""

Speech = Callable[[str], str]
"""a text -> the same with some words replaced"""


def invent(random: Random) -> Speech:
    """Choose which kinds and colours are called by invented words, the same ones in every language."""
    words: dict[str, str] = {}
    for names, share, of_words, invented in (
        (KINDS, KIND_SHARE, _kind_words, INVENTED_KINDS), (COLOURS, COLOUR_SHARE, _colour_words, INVENTED_COLOURS),
    ):
        replaced = [name for name in names if name not in _KEPT and random.random() < share]
        numbers = random.sample(range(len(invented["en"])), len(replaced))
        for language in WORDINGS:
            known = of_words(language)
            words |= {known[name]: invented[language][number] for name, number in zip(replaced, numbers, strict=True)}
    return lambda text: _PATTERN.sub(lambda match: words.get(match[0], match[0]), text)


def _kind_words(language: Language) -> dict[str, str]:
    return {kind: forms.one for kind, forms in WORDINGS[language].words.kinds.items()}


def _colour_words(language: Language) -> dict[str, str]:
    return dict(WORDINGS[language].words.colours)


def _pattern() -> re.Pattern[str]:
    """Any word for a kind or colour: whole English words with or without the plural's s, Chinese ones anywhere."""
    english = sorted([*_kind_words("en").values(), *_colour_words("en").values()], key=len, reverse=True)
    chinese = sorted([*_kind_words("zh").values(), *_colour_words("zh").values()], key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(english)})(?=s?\b)|{'|'.join(chinese)}", re.ASCII)


_PATTERN = _pattern()
