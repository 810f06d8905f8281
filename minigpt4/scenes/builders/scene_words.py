"""Scenes in words, for a language model that learns to read them before it sees an image: made as they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import torch

from minigpt4.common.config.ranges import PositiveFloat, PositiveInt, Seed, Share, Variant
from minigpt4.common.registry import builders
from minigpt4.datasets.config import TRAIN_SPLIT
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Sample, Turn, Unreadable
from minigpt4.scenes.sampling import allowed_pairs, random_for, sample_scene
from minigpt4.scenes.scene import Pair
from minigpt4.scenes.words.languages import LANGUAGES, Language
from minigpt4.scenes.words.lessons import Teacher
from minigpt4.scenes.words.newcomer import NewcomerType
from minigpt4.scenes.words.newcomer_lessons import ViewSource
from minigpt4.scenes.words.newcomer_questions import ask_newcomer, ask_same
from minigpt4.scenes.words.questions import QUESTION_TYPES, ask
from minigpt4.scenes.words.vocabulary import ALBUM
from minigpt4.scenes.words.word_vectors import IDEAL, Style, View, as_image, view_slots
from minigpt4.scenes.words.wording import QuestionType

EXAM_TYPES: tuple[QuestionType | NewcomerType, ...] = (*QUESTION_TYPES, QuestionType.DESCRIPTION, *NewcomerType)
ASKED = "asked"
"""name of what an exam's sample asks among its targets: [2] which of `EXAM_TYPES`, which of `LANGUAGES`"""


@dataclass(frozen=True, kw_only=True)
class SceneWordsConfig:
    """Conversations about scenes that are given in words instead of images."""

    builder: str | None = None
    """registered data set that makes them; null = the name of the section"""
    languages: list[Language] = field(default_factory=lambda: list(LANGUAGES))
    """which languages are spoken"""
    held_out_variant: Variant = 0
    """which combinations of kind and colour no text ever names: 0 or 1"""
    seed: Seed = 0
    """of the scenes and words"""
    num_samples: PositiveInt = 1 << 24
    """different conversations; they are made when asked for"""
    exam_samples: PositiveInt = 100
    """questions of every type and language in the splits `seen` and `held_out`"""
    same_share: Share = 0.0
    """share of further conversations about what two images have in common, which is learned late"""
    doubt: Share = 0.0
    """share of the photographs that other subjects are named of too, less strongly than their own"""
    fresh_nouns: Share = 0.0
    """share of the nouns to be refused that are made for one question"""
    sample_ratio: PositiveFloat | None = None
    """weight in the mixture, for all data sets or for none (then each has the same)"""
    batch_size: PositiveInt | None = None
    """samples per micro-batch and rank; run.batch_size_train says the same"""
    max_samples: PositiveInt | None = None
    """only the first so many samples"""


@builders.register("scene_words")
class SceneWords:
    """`train`: conversations of all sorts. `seen`, `held_out`: one question each, the scene in ideal words."""

    Config = SceneWordsConfig
    default_yaml: dict[str, str] = {}

    @staticmethod
    def build(config: SceneWordsConfig, split: str, name: str = "scene_words") -> Lessons | Exam:
        return Lessons(name, config) if split == TRAIN_SPLIT else Exam(name, config, split)


@dataclass(frozen=True)
class Lessons:
    """Sample i follows from the seed and i."""

    name: str
    config: SceneWordsConfig
    damaged: Sequence[Unreadable] = ()

    def __len__(self) -> int:
        return self.config.num_samples

    def sample(self, number: int, draw: int = 0) -> Sample:
        teacher = Teacher(tuple(self.config.languages), allowed_pairs(TRAIN_SPLIT, self.config.held_out_variant),
                          Style(doubt=self.config.doubt), self.config.same_share, self.config.fresh_nouns)
        sample_id = f"{self.name}/{number}"
        return Sample(sample_id, sample_id, teacher.lesson(random_for(self.config.seed, self.name, number)))


@dataclass(frozen=True)
class Exam:
    """Questions of every type and language, by turns; a sample says which among its targets (`ASKED`)."""

    name: str
    config: SceneWordsConfig
    split: str
    damaged: Sequence[Unreadable] = ()

    def __len__(self) -> int:
        return self.config.exam_samples * len(EXAM_TYPES) * len(self.config.languages)

    def sample(self, number: int, draw: int = 0) -> Sample:
        type = EXAM_TYPES[number % len(EXAM_TYPES)]
        language = self.config.languages[number // len(EXAM_TYPES) % len(self.config.languages)]
        random = random_for(self.config.seed, self.split, number)
        sample_id = f"{self.split}/{number}/{type}/{language}"
        asked = torch.tensor([EXAM_TYPES.index(type), LANGUAGES.index(language)])
        return Sample(sample_id, sample_id, self._asked(type, language, random), {ASKED: asked})

    def _asked(self, type: QuestionType | NewcomerType, language: Language, random: Random) -> Conversation:
        allowed = allowed_pairs(self.split, self.config.held_out_variant)
        if isinstance(type, NewcomerType):
            return self._by_newcomer(type, language, random, allowed)
        scene = sample_scene(random, allowed=allowed)
        exchange = ask(scene, type, language, random, allowed=allowed)
        slots = view_slots(scene, random, tongues={language: 1.0}, mark=ALBUM, style=IDEAL)
        turns = (Turn("user", f"{IMAGE_MARK} {exchange.question}"), Turn("assistant", exchange.answer))
        return Conversation(turns, (as_image(slots),))

    def _by_newcomer(self, type: NewcomerType, language: Language, random: Random, allowed: frozenset[Pair]
                     ) -> Conversation:
        views: tuple[View, ...]
        if type is NewcomerType.SAME:
            views = pair = ViewSource(allowed).pair(random)
            asked = ask_same(pair, language, random)
        else:
            views = (ViewSource(allowed).any(random),)
            asked = ask_newcomer(views[0], type, language, random)
        images = [view_slots(view, random, tongues={language: 1.0}, mark=ALBUM, style=IDEAL) for view in views]
        question = " ".join([*[IMAGE_MARK] * len(views), asked.question])
        turns = (Turn("user", question), Turn("assistant", asked.answer))
        return Conversation(turns, tuple(as_image(slots) for slots in images))
