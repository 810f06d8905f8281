"""Questions about a scene with their answers, in whole sentences.

Everything drawn by chance comes from the `Random` that is given. No text names a combination of kind and colour that
is not in the scene or in `allowed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from minigpt4.scenes.scene import QUADRANTS, RELATIONS, Group, Pair, Scene, neighbour
from minigpt4.scenes.words.captions import caption, describe
from minigpt4.scenes.words.languages import WORDINGS, Language
from minigpt4.scenes.words.wording import QuestionType, Wording

LONG_TYPES = (QuestionType.ABOUT, QuestionType.DESCRIPTION, QuestionType.CAPTION)
"""their answers tell several things"""
QUESTION_TYPES = tuple(type for type in QuestionType if type not in LONG_TYPES)
"""the nine that are measured one by one"""

ANY_QUADRANT_SHARE = 0.25
"""of the questions what is at a place: the place may be empty"""
ANSWERABLE_SHARE = 0.8
"""of the questions what is beside a thing"""
NEAR_MISS_SHARE = 0.5
"""of the questions for absent things: the kind or the colour is there, the combination is not"""


@dataclass(frozen=True)
class Exchange:
    """A question and its right answer."""

    type: QuestionType
    language: Language
    question: str
    answer: str


@dataclass(frozen=True)
class _Asking:
    """What a question is made from."""

    scene: Scene
    language: Language
    random: Random
    allowed: frozenset[Pair]

    @property
    def wording(self) -> Wording:
        return WORDINGS[self.language]

    def any_group(self) -> Group:
        return self.random.choice(self.scene.groups)


_Words = tuple[str, str]
"""a question and its answer"""


def ask(
    scene: Scene, type: QuestionType, language: Language, random: Random, *, allowed: frozenset[Pair]
) -> Exchange:
    """A question of a type with its answer.

    Args:
        allowed: combinations that a question may name though they are not in the scene ("Is there a red star?").
    """
    question, answer = _ASKERS[type](_Asking(scene, language, random, allowed))
    return Exchange(type, language, question, answer)


def about(scene: Scene, group: Group, language: Language, random: Random) -> Exchange:
    """ "Tell me about the star." """
    question, answer = _plain(_Asking(scene, language, random, frozenset()), QuestionType.ABOUT, group)
    return Exchange(QuestionType.ABOUT, language, question, answer)


def _question(asking: _Asking, type: QuestionType, count: int = 1) -> str:
    return asking.random.choice(asking.wording.questions[type]).of(count)


def _plain(asking: _Asking, type: QuestionType, group: Group) -> _Words:
    """A question about a group, answered from that group."""
    say = asking.wording.say
    question = _question(asking, type, group.count)
    return say(question, group), say(asking.wording.answers[type].of(group.count), group)


def _about_any(type: QuestionType) -> Callable[[_Asking], _Words]:
    return lambda asking: _plain(asking, type, asking.any_group())


def _exists(asking: _Asking) -> _Words:
    wording, there = asking.wording, asking.random.random() < 0.5
    kind, colour = asking.any_group().pair if there else _absent(asking)
    thing, hue = wording.words.kinds[kind].one, wording.words.colours[colour]
    question = _question(asking, QuestionType.EXISTS)
    answer = wording.answers[QuestionType.EXISTS].one if there else wording.exists_not
    return wording.say(question, thing=thing, colour=hue), wording.say(answer, thing=thing, colour=hue)


def _absent(asking: _Asking) -> Pair:
    """A combination that the scene has not; often one that shares its kind or colour with the scene."""
    present = {group.pair for group in asking.scene.groups}
    absent = sorted(asking.allowed - present)
    kinds, colours = {kind for kind, _ in present}, {colour for _, colour in present}
    near = [pair for pair in absent if pair[0] in kinds or pair[1] in colours]
    return asking.random.choice(near if near and asking.random.random() < NEAR_MISS_SHARE else absent)


def _what_is_at(asking: _Asking) -> _Words:
    wording = asking.wording
    anywhere = asking.random.random() < ANY_QUADRANT_SHARE
    quadrant = asking.random.randrange(len(QUADRANTS)) if anywhere else asking.any_group().quadrant
    group, place = asking.scene.at(quadrant), wording.words.quadrants[quadrant]
    question = wording.say(_question(asking, QuestionType.WHAT_IS_AT), place=place)
    if group is None:
        return question, wording.say(wording.nothing_at, place=place)
    return question, wording.say(wording.answers[QuestionType.WHAT_IS_AT].of(group.count), group)


def _relation(asking: _Asking) -> _Words:
    wording, scene = asking.wording, asking.scene
    sides = [(group, relation) for group in scene.groups for relation in RELATIONS]
    taken = [side for side in sides if scene.at(neighbour(side[0].quadrant, side[1]))]
    empty = [side for side in sides if side not in taken]
    answerable = bool(taken) and asking.random.random() < ANSWERABLE_SHARE
    group, relation = asking.random.choice(taken if answerable else empty)
    words = wording.words.relations[relation]
    question = wording.say(_question(asking, QuestionType.RELATION, group.count), group, relation=words)
    there = scene.at(neighbour(group.quadrant, relation))
    if there is None:
        return question, wording.say(wording.nothing_related.of(group.count), group, relation=words)
    other = wording.say(wording.other.of(group.count), group)
    answer = wording.answers[QuestionType.RELATION].of(there.count)
    return question, wording.say(answer, there, relation=words, other=other)


def _background(asking: _Asking) -> _Words:
    wording = asking.wording
    answer = wording.answers[QuestionType.BACKGROUND].one
    return (
        _question(asking, QuestionType.BACKGROUND),
        wording.say(answer, background=wording.words.backgrounds[asking.scene.background]),
    )


def _kinds(asking: _Asking) -> _Words:
    wording, number = asking.wording, len(asking.scene.groups)
    answer = wording.answers[QuestionType.KINDS].of(number)
    return _question(asking, QuestionType.KINDS), wording.say(answer, number=wording.words.numbers[number - 1])


def _description(asking: _Asking) -> _Words:
    return _question(asking, QuestionType.DESCRIPTION), describe(asking.scene, asking.language)


def _caption(asking: _Asking) -> _Words:
    return _question(asking, QuestionType.CAPTION), caption(asking.scene, asking.language, asking.random)


_ASKERS: dict[QuestionType, Callable[[_Asking], _Words]] = {
    QuestionType.COLOUR: _about_any(QuestionType.COLOUR),
    QuestionType.COUNT: _about_any(QuestionType.COUNT),
    QuestionType.EXISTS: _exists,
    QuestionType.WHERE: _about_any(QuestionType.WHERE),
    QuestionType.WHAT_IS_AT: _what_is_at,
    QuestionType.RELATION: _relation,
    QuestionType.SIZE: _about_any(QuestionType.SIZE),
    QuestionType.BACKGROUND: _background,
    QuestionType.KINDS: _kinds,
    QuestionType.ABOUT: _about_any(QuestionType.ABOUT),
    QuestionType.DESCRIPTION: _description,
    QuestionType.CAPTION: _caption,
}
