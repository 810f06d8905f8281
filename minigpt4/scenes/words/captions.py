"""A scene in one line (stage 1) and in several sentences (stage 2)."""

from __future__ import annotations

from random import Random

from minigpt4.scenes.scene import Scene
from minigpt4.scenes.words.languages import WORDINGS, Language

BACKGROUND_SHARE = 0.5
"""of the captions: name the background"""


def caption(scene: Scene, language: Language, random: Random) -> str:
    """One line without a full stop: all groups in any order, half the time the background."""
    wording = WORDINGS[language]
    form, background = wording.caption
    parts = [wording.say(form.of(group.count), group) for group in scene.groups]
    random.shuffle(parts)
    if random.random() < BACKGROUND_SHARE:
        parts.append(wording.say(background, background=wording.words.backgrounds[scene.background]))
    return wording.caption_comma.join(parts)


def describe(scene: Scene, language: Language) -> str:
    """Several sentences: how many kinds of things, each group in reading order, the background."""
    wording = WORDINGS[language]
    total, form, background = wording.description
    number = len(scene.groups)
    sentences = [wording.say(total.of(number), number=wording.words.numbers[number - 1])]
    sentences += [wording.say(form.of(group.count), group) for group in scene.groups]
    sentences.append(wording.say(background, background=wording.words.backgrounds[scene.background]))
    return wording.join.join(sentences)
