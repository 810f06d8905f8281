"""Words that a small tokenizer keeps in one piece, so that a language model can look them up and copy them."""

from __future__ import annotations

from collections.abc import Sequence

from minigpt4.scenes.words.invented import INVENTED_COLOURS, INVENTED_KINDS
from minigpt4.scenes.words.languages import NEWCOMER_WORDINGS, WORDINGS, Language

TEMPLATE_WORDS = ("###", "<Img>", "</Img>", "Human", "Assistant")

WEB, ALBUM = "<web>", "<album>"
REGISTERS = (WEB, ALBUM)
"""where an image and its words are from: carelessly written pages, or carefully made ones (tokens no text contains)"""


def whole_words(languages: Sequence[Language]) -> tuple[str, ...]:
    """Kinds (in the singular), colours, sizes, numbers, places, backgrounds, subjects and main colours of photographs,
    invented words, and the template's."""
    found: dict[str, None] = dict.fromkeys(TEMPLATE_WORDS)
    for language in languages:
        words, of_photographs = WORDINGS[language].words, NEWCOMER_WORDINGS[language]
        found |= dict.fromkeys([
            *(forms.one for forms in words.kinds.values()), *words.colours.values(), *words.sizes.values(),
            *words.numbers, *words.quadrants, *words.backgrounds.values(), words.nothing,
            *(noun.head for noun in of_photographs.subjects.values()), *of_photographs.main_colours.values(),
            of_photographs.unknown, of_photographs.photograph,
            *INVENTED_KINDS[language], *INVENTED_COLOURS[language],
        ])
    return tuple(found)
