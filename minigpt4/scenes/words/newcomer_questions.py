"""What newcomers ask about drawings and photographs, with the right answers.

A view is what an image shows in facts: a `Scene` or a `Photograph`. Everything drawn by chance comes from the `Random`
that is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from minigpt4.scenes.photographs.photograph import SUBJECTS, Photograph
from minigpt4.scenes.scene import KINDS, Group, Scene
from minigpt4.scenes.words.captions import caption, describe
from minigpt4.scenes.words.languages import NEWCOMER_WORDINGS, WORDINGS, Language
from minigpt4.scenes.words.newcomer import NewcomerType, NewcomerWording, Noun
from minigpt4.scenes.words.unfamiliar import unfamiliar_noun
from minigpt4.scenes.words.word_vectors import View
from minigpt4.scenes.words.wording import QuestionType

PRESENT_SHARE = 0.5
"""of the questions whether something is there: it is"""
MIXED_UP_SHARE = 0.3
"""of the absent things: those that only images of the other kind show"""
SCENE_QUESTIONS = (QuestionType.COUNT, QuestionType.KINDS, QuestionType.BACKGROUND, QuestionType.WHAT_IS_AT)
"""what a scene can be asked and a photograph cannot, or only to hear that there is no such thing"""


@dataclass(frozen=True)
class Asked:
    """A question and its right answer."""

    question: str
    answer: str


def ask_newcomer(view: View | None, type: NewcomerType, language: Language, random: Random, fresh: float = 0.0
                 ) -> Asked:
    """A question of a type about a view, or without any image; `fresh`: `unfamiliar_noun`."""
    asking = _Asking(view, language, random, NEWCOMER_WORDINGS[language], fresh)
    question, answer = _ASKERS[type](asking)
    return Asked(asking.wording.polish(question), asking.wording.polish(answer))


def ask_same(views: tuple[View, View], language: Language, random: Random) -> Asked:
    """What two images have in common: their things, or nothing."""
    wording = NEWCOMER_WORDINGS[language]
    shared = [thing for thing in things_of(views[0]) if thing in things_of(views[1])]
    nouns = [noun_for(thing, language).one for thing in shared]
    answer = wording.both.format(one=wording.joined(nouns)) if nouns else wording.nothing_same
    return Asked(random.choice(wording.questions[NewcomerType.SAME]), wording.polish(answer))


def things_of(view: View) -> list[str]:
    """Kinds of a scene in reading order, the subject of a photograph; nothing where it is unknown."""
    if isinstance(view, Scene):
        return [group.kind for group in view.groups]
    return [view.subject] if view.is_known else []


def noun_for(thing: str, language: Language) -> Noun:
    """The noun for a kind or a subject."""
    wording = NEWCOMER_WORDINGS[language]
    return wording.subjects[thing] if thing in wording.subjects else wording.noun_of(
        WORDINGS[language].words.kinds[thing].one)


def caption_of(view: View, language: Language, random: Random) -> str:
    """One line without a full stop."""
    if isinstance(view, Scene):
        return caption(view, language, random)
    wording = NEWCOMER_WORDINGS[language]
    form = random.choice((wording.caption, wording.caption_with_colour)) if view.is_known else wording.caption_unknown
    return wording.polish(form.format(**_fields(view, wording)))


def description_of(view: View, language: Language) -> str:
    """Several sentences."""
    if isinstance(view, Scene):
        return describe(view, language)
    wording = NEWCOMER_WORDINGS[language]
    form = wording.describe_photograph if view.is_known else wording.describe_unknown
    return wording.polish(form.format(**_fields(view, wording)))


def _fields(view: Photograph, wording: NewcomerWording) -> dict[str, str]:
    noun = wording.subjects.get(view.subject, Noun("", "", ""))
    return {"one": noun.one, "bare": noun.bare, "colour": wording.main_colours[view.colour]}


@dataclass(frozen=True)
class _Asking:
    """What a question is made from."""

    view: View | None
    language: Language
    random: Random
    wording: NewcomerWording
    fresh: float = 0.0

    def question(self, type: NewcomerType, noun: Noun | None = None) -> str:
        text = self.random.choice(self.wording.questions[type])
        return text.format(one=noun.one, bare=noun.bare) if noun else text

    @property
    def unknown(self) -> bool:
        return isinstance(self.view, Photograph) and not self.view.is_known

    def groups(self, scene: Scene) -> str:
        words = WORDINGS[self.language]
        return self.wording.joined([words.group.of(group.count).format(**words.fields(group))
                                    for group in scene.groups])

    def absent(self) -> Noun:
        """A thing that is not there: mostly one that such images may show."""
        of_photographs = isinstance(self.view, Photograph) != (self.random.random() < MIXED_UP_SHARE)
        present = things_of(self.view) if self.view else []
        names = [name for name in (SUBJECTS if of_photographs else KINDS) if name not in present]
        if isinstance(self.view, Photograph):
            names = [name for name in names if name != "flower"]  # a photographed daisy is one
        return noun_for(self.random.choice(names), self.language)


_Words = tuple[str, str]


def _what(asking: _Asking) -> _Words:
    return asking.question(NewcomerType.WHAT), _shown(asking, asking.wording.what_photograph,
                                                      asking.wording.what_drawing)


def _see(asking: _Asking) -> _Words:
    return asking.question(NewcomerType.SEE), _shown(asking, asking.wording.see,
                                                     asking.wording.see.replace("{one}", "{groups}"))


def _shown(asking: _Asking, of_photograph: str, of_scene: str) -> str:
    view, wording = asking.view, asking.wording
    if view is None:
        return wording.show_me
    if isinstance(view, Scene):
        return of_scene.format(groups=asking.groups(view))
    return of_photograph.format(**_fields(view, wording)) if view.is_known else wording.do_not_know_this


def _is_there(asking: _Asking) -> _Words:
    wording, view = asking.wording, asking.view
    there = view is not None and not asking.unknown and asking.random.random() < PRESENT_SHARE
    noun = noun_for(asking.random.choice(things_of(view)), asking.language) if view and there else asking.absent()
    question = asking.question(NewcomerType.IS_THERE, noun)
    if view is None:
        return question, wording.show_me
    answer = wording.there_is if there else wording.there_is_not
    return question, answer.format(one=noun.one, bare=noun.bare)


def _main_colour(asking: _Asking) -> _Words:
    view, wording = asking.view, asking.wording
    question = asking.question(NewcomerType.MAIN_COLOUR)
    if view is None:
        return question, wording.show_me
    if isinstance(view, Photograph):
        return question, wording.mainly.format(**_fields(view, wording))
    return question, _colours(asking, view)


def _colours(asking: _Asking, scene: Scene) -> str:
    """The star is red, the cars are blue."""
    between, end = asking.wording.colours_joint
    text = between.join(_colour(asking, group) for group in scene.groups) + end
    return text[0].upper() + text[1:]


def _colour(asking: _Asking, group: Group) -> str:
    words = WORDINGS[asking.language]
    fields = words.fields(group)
    thing = fields["thing"] if group.count == 1 else fields["things"]
    verb = "is" if group.count == 1 else "are"
    return asking.wording.colours_of_groups.format(group=thing, verb=verb, colour=fields["colour"])


def _tell(asking: _Asking) -> _Words:
    """About a subject of a photograph, or about something that is not there."""
    view, wording = asking.view, asking.wording
    if isinstance(view, Photograph) and view.is_known and asking.random.random() < PRESENT_SHARE:
        return _about_subject(asking, view)
    question = asking.question(NewcomerType.TELL, noun := asking.absent())
    if view is None:
        return question, wording.show_me
    return question, wording.do_not_know_this if asking.unknown else wording.no_such.format(bare=noun.bare)


def _about_subject(asking: _Asking, view: Photograph) -> _Words:
    wording, noun = asking.wording, noun_for(view.subject, asking.language)
    number = asking.random.randrange(len(wording.questions[NewcomerType.TELL]))
    question = wording.questions[NewcomerType.TELL][number].format(one=noun.one, bare=noun.bare)
    if any(word in question.lower() for word in ("colo", "颜色")):
        return question, wording.only_main.format(**_fields(view, wording))
    if any(word in question for word in ("Where", "哪里")):
        return question, wording.where_subject
    return question, description_of(view, asking.language)


def _describe(asking: _Asking) -> _Words:
    question = _form_of(asking, QuestionType.DESCRIPTION)
    return question, description_of(asking.view, asking.language) if asking.view else asking.wording.show_me


def _caption(asking: _Asking) -> _Words:
    question = _form_of(asking, QuestionType.CAPTION)
    if asking.view is None:
        return question, asking.wording.show_me
    return question, caption_of(asking.view, asking.language, asking.random)


def _form_of(asking: _Asking, type: QuestionType) -> str:
    return asking.random.choice(WORDINGS[asking.language].questions[type]).one


def _unfamiliar(asking: _Asking) -> _Words:
    noun = asking.wording.noun_of(unfamiliar_noun(asking.language, asking.random, asking.fresh))
    return (asking.question(NewcomerType.UNFAMILIAR, noun),
            asking.wording.unfamiliar.format(one=noun.one, bare=noun.bare))


def _untaught(asking: _Asking) -> _Words:
    """What nobody taught; of a photograph also what only scenes can be asked."""
    wording = asking.wording
    if isinstance(asking.view, Photograph) and asking.random.random() < 0.4:
        type = asking.random.choice(SCENE_QUESTIONS)
        words, kind = WORDINGS[asking.language], asking.random.choice([kind for kind in KINDS if kind != "flower"])
        text, thing = asking.random.choice(words.questions[type]).one, words.words.kinds[kind]
        place = asking.random.choice(words.words.quadrants)
        answer = wording.no_such if type is QuestionType.COUNT and not asking.unknown else wording.do_not_know
        return text.format(thing=thing.one, things=thing.many, place=place), answer.format(bare=thing.one)
    return asking.question(NewcomerType.UNTAUGHT), wording.do_not_know


def _hello(asking: _Asking) -> _Words:
    return asking.question(NewcomerType.HELLO), asking.wording.hello[asking.view is not None]


def _abilities(asking: _Asking) -> _Words:
    return asking.question(NewcomerType.ABILITIES), asking.wording.abilities


_ASKERS: Mapping[NewcomerType, Callable[[_Asking], _Words]] = {
    NewcomerType.WHAT: _what, NewcomerType.SEE: _see, NewcomerType.IS_THERE: _is_there,
    NewcomerType.MAIN_COLOUR: _main_colour, NewcomerType.TELL: _tell, NewcomerType.DESCRIBE: _describe,
    NewcomerType.CAPTION: _caption, NewcomerType.UNFAMILIAR: _unfamiliar, NewcomerType.UNTAUGHT: _untaught,
    NewcomerType.HELLO: _hello, NewcomerType.ABILITIES: _abilities,
}
