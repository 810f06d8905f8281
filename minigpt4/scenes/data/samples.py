"""Sample i of each data set of scenes: what is drawn and what is said about it, from (seed, data set, i) alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from minigpt4.scenes.data.album import Album
from minigpt4.scenes.photographs.photograph import Photograph
from minigpt4.scenes.sampling import allowed_pairs, random_for, sample_scene
from minigpt4.scenes.scene import Pair, Scene
from minigpt4.scenes.words.captions import caption, describe
from minigpt4.scenes.words.languages import LANGUAGES, Language
from minigpt4.scenes.words.newcomer_lessons import KIND_WEIGHTS, Talk, ViewSource, newcomer_talk
from minigpt4.scenes.words.newcomer_questions import caption_of
from minigpt4.scenes.words.questions import QUESTION_TYPES, Exchange, ask
from minigpt4.scenes.words.wording import QuestionType

CHINESE_SHARE = 0.3
LONG_ENOUGH = 150
"""bytes of a newcomer's conversation"""
TALK_WEIGHTS: Mapping[str, float] = {name: weight for name, weight in KIND_WEIGHTS.items() if name != "caption"}
WITHOUT_PHOTOGRAPHS: Mapping[str, float] = {"drawing": 80, "no_image": 20}
"""of the conversations of newcomers; bare captions are what stage 1 is for"""
SHOWN_UNKNOWN_SHARE = 0.5
"""of the photographs that are shown: images that show nothing known"""
TURN_WEIGHTS = (60, 25, 15)
"""dialogues of one, two, three questions, in percent"""
TURN_TYPES = {type: 8 for type in QUESTION_TYPES} | {
    QuestionType.ABOUT: 6, QuestionType.DESCRIPTION: 6, QuestionType.CAPTION: 16,
}
"""how often each is asked; captions keep what stage 1 learned"""


@dataclass(frozen=True)
class Captioned:
    """A scene and one text about it."""

    scene: Scene
    text: str


@dataclass(frozen=True)
class Dialogue:
    """A scene and what is asked about it, one question after the other."""

    scene: Scene
    exchanges: tuple[Exchange, ...]


def stage1_sample(seed: int, number: int, variant: int = 0) -> Captioned:
    """A scene and its caption, in English or Chinese."""
    random, scene, _ = _scene(seed, "stage1", number, "train", variant)
    return Captioned(scene, caption(scene, _language(random), random))


def stage2_sample(seed: int, number: int, variant: int = 0) -> Captioned:
    """A scene and its description; in English, because the prompts of stage 2 are."""
    _, scene, _ = _scene(seed, "stage2", number, "train", variant)
    return Captioned(scene, describe(scene, "en"))


def dialogue_sample(seed: int, number: int, variant: int = 0) -> Dialogue:
    """A scene and one to three questions of different types in one language."""
    random, scene, allowed = _scene(seed, "dialogues", number, "train", variant)
    language = _language(random)
    (turns,) = random.choices(range(1, len(TURN_WEIGHTS) + 1), TURN_WEIGHTS)
    types: list[QuestionType] = []
    while len(types) < turns:
        (type,) = random.choices(list(TURN_TYPES), list(TURN_TYPES.values()))
        types += [type] if type not in types else []
    return Dialogue(scene, tuple(ask(scene, type, language, random, allowed=allowed) for type in types))


def evaluation_sample(seed: int, split: str, number: int, variant: int = 0) -> Dialogue:
    """A scene of an evaluation split with one question of every type in every language."""
    random, scene, allowed = _scene(seed, split, number, split, variant)
    types: Sequence[QuestionType] = (*QUESTION_TYPES, QuestionType.ABOUT, QuestionType.DESCRIPTION)
    return Dialogue(
        scene, tuple(ask(scene, type, language, random, allowed=allowed) for language in LANGUAGES for type in types)
    )


def photograph_sample(seed: int, number: int, album: Album) -> tuple[Photograph, str]:
    """A photograph and its caption, in English or Chinese."""
    random = random_for(seed, "photographs", number)
    photograph = album.photograph(random, SHOWN_UNKNOWN_SHARE)
    return photograph, caption_of(photograph, _language(random), random)


def newcomer_sample(seed: int, number: int, variant: int = 0, album: Album | None = None) -> Talk:
    """What people ask first: of scenes, and of photographs where there is an album."""
    random, allowed = random_for(seed, "newcomers", number), allowed_pairs("train", variant)
    if album is None:
        return newcomer_talk(random, _language(random), ViewSource(allowed), LONG_ENOUGH, WITHOUT_PHOTOGRAPHS)
    source = ViewSource(allowed, album.photograph, SHOWN_UNKNOWN_SHARE)
    return newcomer_talk(random, _language(random), source, LONG_ENOUGH, TALK_WEIGHTS)


def _scene(seed: int, name: str, number: int, split: str, variant: int) -> tuple[Random, Scene, frozenset[Pair]]:
    random, allowed = random_for(seed, name, number), allowed_pairs(split, variant)
    return random, sample_scene(random, allowed=allowed), allowed


def _language(random: Random) -> Language:
    return "zh" if random.random() < CHINESE_SHARE else "en"
