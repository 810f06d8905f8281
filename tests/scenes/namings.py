"""The ways in which a text can name a combination of kind and colour."""

from __future__ import annotations

from minigpt4.scenes.combinations import held_out
from minigpt4.scenes.words.languages import WORDINGS, Language


def namings(variant: int, language: Language) -> list[str]:
    """Ways in which a text names a held-out combination."""
    words, found = WORDINGS[language].words, []
    for kind, colour in sorted(held_out(variant)):
        forms, hue = set(words.kinds[kind]), words.colours[colour]
        found += [f"{hue} {form}" for form in forms] + [f"{hue}的{form}" for form in forms]
        found += [f"{form} {verb} {hue}" for form in forms for verb in ("is", "are")]
        found += [f"{form} {verb} {size} and {hue}" for form in forms for verb in ("is", "are")
                  for size in ("big", "small")]
        found += [f"{form}是{hue}" for form in forms]
    return found
