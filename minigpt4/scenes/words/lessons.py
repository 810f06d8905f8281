"""What a language model reads of scenes before it ever sees an image: conversations about scenes in words.

It reads as the real ones did, of two origins. On carefully made pages (`<album>`) questions are answered in whole
sentences. On web pages (`<web>`) images have captions, and questions there get a caption too, often broken off or
repeated. Both are written in exactly the prompts of the two stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from minigpt4.scenes.sampling import sample_scene
from minigpt4.scenes.scene import Pair, Scene
from minigpt4.scenes.words.captions import caption, describe
from minigpt4.scenes.words.invented import Speech, invent
from minigpt4.scenes.words.languages import WORDINGS, Language
from minigpt4.scenes.words.newcomer_lessons import KIND_WEIGHTS, ViewSource, newcomer_talk
from minigpt4.scenes.words.questions import ask
from minigpt4.scenes.words.vocabulary import ALBUM, WEB
from minigpt4.scenes.words.word_vectors import Style, as_image, view_slots
from minigpt4.scenes.words.wording import QuestionType

TYPE_WEIGHTS: Mapping[QuestionType, float] = {
    QuestionType.COLOUR: 1.5, QuestionType.COUNT: 1.0, QuestionType.EXISTS: 3.0, QuestionType.WHERE: 1.5,
    QuestionType.WHAT_IS_AT: 1.5, QuestionType.RELATION: 7.0, QuestionType.SIZE: 0.7, QuestionType.BACKGROUND: 0.5,
    QuestionType.KINDS: 0.5, QuestionType.ABOUT: 1.5, QuestionType.CAPTION: 0.4,
}
"""how often each is asked; those that must look up two things are the hardest"""

LESSON_WEIGHTS: Mapping[str, float] = {"album": 68, "description": 12, "caption": 10, "web": 6, "read": 4}
"""questions about a scene, its description, its caption, a question on a web page, one about a scene told in words"""

ENOUGH_BYTES = 170
"""of a conversation: no further question beyond them, so that all are about as long; a token is about five bytes"""
WEB_CAPTIONS = 0.7
"""of the captions: those on web pages; on an album's page a description may stand in their place"""
ALBUM_DESCRIPTIONS = 0.25
WEB_DESCRIPTIONS = 0.3
"""of the questions on web pages: those for a description"""
WEB_ANSWERS = 0.15
"""of the answers on web pages: those that are one"""
NEWCOMER_SHARE = 0.45
"""of the lessons: what newcomers ask, of photographs too"""
INVENTED_SHARE = 0.4
"""of the lessons: some kinds and colours are called by invented words"""
FIRST_LANGUAGE = 0.25
"""of the lessons: in the first language in any case, the others are in all alike"""
MIXED_TONGUES = 0.45
"""of the scenes in words: words of all languages at once"""

Writer = Callable[[Scene, Language, Random], list[str]]
"""what user and assistant say in turn about a scene"""


@dataclass(frozen=True)
class Teacher:
    """Makes lessons of scenes whose combinations are `allowed`."""

    languages: tuple[Language, ...]
    allowed: frozenset[Pair]
    style: Style = Style()
    same_share: float = 0.0
    """of the lessons: what two images have in common"""
    fresh: float = 0.0
    """of the unfamiliar nouns: made for one question"""

    def lesson(self, random: Random) -> Conversation:
        """One conversation, as training reads it."""
        language = self.languages[0] if random.random() < FIRST_LANGUAGE else random.choice(self.languages)
        speech: Speech = invent(random) if random.random() < INVENTED_SHARE else str
        if self.same_share and random.random() < self.same_share:
            return self._newcomer_lesson(random, language, speech, {"same": 1.0})
        if random.random() < NEWCOMER_SHARE:
            return self._newcomer_lesson(random, language, speech, KIND_WEIGHTS)
        scene = sample_scene(random, allowed=self.allowed)
        (kind,) = random.choices(list(LESSON_WEIGHTS), list(LESSON_WEIGHTS.values()))
        if kind == "read":
            return _spoken(self._in_sentences(scene, language, random), (), speech)
        web = kind == "web" or (kind == "caption" and random.random() < WEB_CAPTIONS)
        slots = view_slots(scene, random, tongues=self._tongues(random), mark=WEB if web else ALBUM, style=self.style)
        writers: dict[str, Writer] = {
            "album": self._dialogue, "description": self._described, "caption": partial(_caption, web=web),
            "web": self._web_page,
        }
        turns = writers[kind](scene, language, random)
        return _spoken(turns, (as_image(slots, speech),), speech)

    def _newcomer_lesson(self, random: Random, language: Language, speech: Speech, kinds: Mapping[str, float]
                         ) -> Conversation:
        talk = newcomer_talk(random, language, ViewSource(self.allowed, fresh=self.fresh), ENOUGH_BYTES, kinds)
        if not all(isinstance(view, Scene) for view in talk.views):
            speech = str  # subjects of photographs keep their words
        mark = WEB if talk.turns[0] == IMAGE_MARK and random.random() < WEB_CAPTIONS else ALBUM
        images = [view_slots(view, random, tongues=self._tongues(random), mark=mark, style=self.style)
                  for view in talk.views]
        return _spoken(talk.turns, tuple(as_image(slots, speech) for slots in images), speech)

    def _one_question(self, scene: Scene, language: Language, random: Random) -> tuple[str, str]:
        question, answer = self._exchange(scene, language, random)
        return f"{IMAGE_MARK} {question}", answer

    def _exchange(self, scene: Scene, language: Language, random: Random) -> tuple[str, str]:
        (type,) = random.choices(list(TYPE_WEIGHTS), list(TYPE_WEIGHTS.values()))
        exchange = ask(scene, type, language, random, allowed=self.allowed)
        return exchange.question, exchange.answer

    def _dialogue(self, scene: Scene, language: Language, random: Random) -> list[str]:
        """Questions and answers in turn; now and then the language changes."""
        words: list[str] = []
        while sum(len(text.encode()) for text in words) < ENOUGH_BYTES:
            spoken = random.choice(self.languages) if random.random() < 0.1 else language
            words += self._exchange(scene, spoken, random)
        return [f"{IMAGE_MARK} {words[0]}", *words[1:]]

    def _described(self, scene: Scene, language: Language, random: Random) -> list[str]:
        exchange = ask(scene, QuestionType.DESCRIPTION, language, random, allowed=self.allowed)
        return [f"{IMAGE_MARK} {exchange.question}", exchange.answer]

    def _web_page(self, scene: Scene, language: Language, random: Random) -> list[str]:
        asked = self._described if random.random() < WEB_DESCRIPTIONS else self._one_question
        question, answer = asked(scene, language, random)
        if random.random() >= WEB_ANSWERS:
            answer = careless(caption(scene, language, random), language, random)
        return [question, answer]

    def _in_sentences(self, scene: Scene, language: Language, random: Random) -> list[str]:
        """The scene in sentences instead of slots, and a question about it."""
        question, answer = self._one_question(scene, language, random)
        return [question.replace(IMAGE_MARK, describe(scene, language)), answer]

    def _tongues(self, random: Random) -> dict[Language, float]:
        """Which languages the words of a scene are in: mostly the first, the others, or all at once."""
        if len(self.languages) > 1 and random.random() < MIXED_TONGUES:
            return {language: random.uniform(0.3, 1.0) for language in self.languages}
        weights = [len(self.languages), *[1] * (len(self.languages) - 1)]
        return {random.choices(self.languages, weights)[0]: 1.0}


def careless(text: str, language: Language, random: Random) -> str:
    """A caption as web pages have it where something else was asked for: whole, broken off, or repeating its end."""
    comma, blank = WORDINGS[language].caption_comma, " " if language == "en" else ""
    (kind,) = random.choices(("whole", "broken", "repeated"), (25, 35, 40))
    if kind == "whole":
        return text
    if kind == "broken":
        pieces = text.split(blank) if blank else list(text)
        return blank.join(pieces[: random.randint(1, len(pieces))])
    last = text.split(comma)[-1]
    return comma.join([text, *[last] * random.randint(2, 5)])


def _caption(scene: Scene, language: Language, random: Random, *, web: bool) -> list[str]:
    described = not web and random.random() < ALBUM_DESCRIPTIONS
    return [IMAGE_MARK, describe(scene, language) if described else caption(scene, language, random)]


def _spoken(words: Sequence[str], images: tuple[ImageRef, ...], speech: Speech) -> Conversation:
    """User and assistant say these words in turn, about these images."""
    roles = ("user", "assistant")
    turns = tuple(Turn(roles[number % 2], speech(text)) for number, text in enumerate(words))  # type: ignore[arg-type]
    return Conversation(turns, images)
