"""Scores a model on drawn scenes: questions by type and language, captions, descriptions, form.

Captions are asked for as stage 1 learns them (the image and nothing else), all the rest in the template of stage 2:
so what one stage does to the skill of the other is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.evaluation.asking import Advance, Asked, Gallery, answers
from minigpt4.generation.engine import Answer
from minigpt4.generation.settings import DecodingSettings
from minigpt4.metrics.tally import Tally
from minigpt4.scenes.data.files import CAPTION_TEMPLATE, QUESTION_TEMPLATE
from minigpt4.scenes.data.splits import AskedScene
from minigpt4.scenes.exam.answers import Reader, attribute_score, form_fault, is_right, majority_share
from minigpt4.scenes.words.captions import describe
from minigpt4.scenes.words.languages import LANGUAGES, WORDINGS, Language, written_in
from minigpt4.scenes.words.questions import QUESTION_TYPES, Exchange
from minigpt4.scenes.words.wording import QuestionType

PAIR_TYPES = (QuestionType.COLOUR, QuestionType.EXISTS, QuestionType.WHAT_IS_AT, QuestionType.RELATION)
"""what depends on which kind has which colour: the types that tell whether held-out combinations are understood"""
BARE = "bare"
"""type of a caption that was not asked for"""
LONGEST_SHORT_ANSWER, LONGEST_TEXT = 60, 250
"""tokens; right answers have at most 32 and 130 with the shipped tokenizer, the rest is room for wrong ones"""

READERS: Mapping[str, Reader] = {language: Reader(wording.lexicon()) for language, wording in WORDINGS.items()}


@dataclass(frozen=True)
class Prediction:
    """One question, what was answered, and what that is worth."""

    split: str
    image: str
    type: str
    language: str
    question: str
    reference: str
    answer: str
    reason: str
    """why it ended: stop or length"""
    right: float
    """of what counts, the share that is right: 0 or 1 for questions, in between for longer texts"""
    counted: int
    fault: str
    """of its form; empty = none"""


@dataclass(frozen=True)
class Figures:
    """A split in numbers, all of them shares of 1."""

    scenes: int
    questions: Mapping[str, Mapping[str, float]]
    """language -> type -> right answers; `mean` over the nine, `pair_mean` over the four that depend on the pair"""
    majority: Mapping[str, Mapping[str, float]]
    """the same for the best fixed answer of each type"""
    descriptions: Mapping[str, float]
    """language -> right attributes"""
    captions: float
    """right attributes of captions that nobody asked for (stage 1)"""
    ends_properly: float
    """answers to instructions that the model ended itself"""
    form: float
    """answers to instructions without a fault of form"""
    form_faults: Mapping[str, float] = field(default_factory=dict)


def predict(loaded: LoadedModel, split: str, scenes: Sequence[AskedScene], *,
            galleries: Mapping[Language, Gallery] | None = None, batch_size: int = 64,
            advance: Advance = lambda number: None) -> list[Prediction]:
    """Ask everything about every scene.

    Args:
        loaded: the model.
        split: name of the split, for the predictions.
        scenes: images, facts, questions.
        galleries: what the model is shown instead of the images when a language is spoken (for the ceiling).
        batch_size: questions per batch.
        advance: called with the number of new answers; `number_of_answers` in all.
    """
    galleries = galleries or dict.fromkeys(LANGUAGES, Gallery.encode(loaded, [scene.image for scene in scenes]))
    found: list[Prediction] = []
    for type, language in _rounds(scenes):
        model = loaded.in_template(CAPTION_TEMPLATE if type == BARE else question_template(loaded))
        chosen = [_exchange(scene, type, language) for scene in scenes]
        asked = [Asked(number, exchange.question) for number, exchange in enumerate(chosen)]
        longest = LONGEST_TEXT if type in (BARE, QuestionType.DESCRIPTION) else LONGEST_SHORT_ANSWER
        given = answers(model, galleries[language], asked, DecodingSettings(max_new_tokens=longest),
                        batch_size=batch_size, advance=advance)
        found += [
            _scored(split, scene, type, exchange, answer)
            for scene, exchange, answer in zip(scenes, chosen, given, strict=True)
        ]
    return found


def question_template(loaded: LoadedModel) -> str:
    """The template that instructions are given in: the model's own, unless it knows only bare captions."""
    own = loaded.renderer.chat.name
    return QUESTION_TEMPLATE if own == CAPTION_TEMPLATE else own


def number_of_answers(scenes: Sequence[AskedScene]) -> int:
    """How many answers `predict` gives."""
    return len(scenes) * len(_rounds(scenes))


def _rounds(scenes: Sequence[AskedScene]) -> list[tuple[str, Language]]:
    """(type, language) of every batch of equal questions."""
    asked = [(str(exchange.type), exchange.language) for exchange in scenes[0].exchanges] if scenes else []
    return [*((type, language) for type, language in asked), (BARE, LANGUAGES[0])] if asked else []


def _exchange(scene: AskedScene, type: str, language: str) -> Exchange:
    if type == BARE:
        return Exchange(QuestionType.CAPTION, "en", "", "")
    return next(each for each in scene.exchanges if each.type == type and each.language == language)


def _scored(split: str, scene: AskedScene, type: str, exchange: Exchange, answer: Answer) -> Prediction:
    if type == BARE:  # stage 1 may caption in any language
        language = written_in(answer.text)
        exchange = replace(exchange, language=language, answer=describe(scene.scene, language))
    tally = _worth(type, exchange, answer.text, READERS[exchange.language])
    return Prediction(
        split, str(scene.image), type, exchange.language, exchange.question, exchange.answer, answer.text,
        answer.reason, tally.mean or 0.0, int(tally.count),
        "" if type == BARE else form_fault(answer.text, ended=answer.reason == "stop"),
    )


def _worth(type: str, exchange: Exchange, text: str, reader: Reader) -> Tally:
    if type in (BARE, QuestionType.DESCRIPTION):
        return attribute_score(text, exchange.answer, reader, background=type != BARE)
    return Tally(is_right(text, exchange.answer, type, reader), 1)


# --- figures ---


def figures(predictions: Sequence[Prediction]) -> Figures:
    """The numbers of one split."""
    asked = [each for each in predictions if each.type != BARE]
    faults = {each.fault for each in asked if each.fault}
    return Figures(
        scenes=len({each.image for each in predictions}),
        questions={language: _with_means({type: _share(_of(asked, type, language)) for type in QUESTION_TYPES})
                   for language in LANGUAGES},
        majority={language: _with_means({type: _majority(_of(asked, type, language)) for type in QUESTION_TYPES})
                  for language in LANGUAGES},
        descriptions={language: _share(_of(asked, QuestionType.DESCRIPTION, language)) for language in LANGUAGES},
        captions=_share([each for each in predictions if each.type == BARE]),
        ends_properly=_mean(each.reason == "stop" for each in asked),
        form=_mean(not each.fault for each in asked),
        form_faults={fault: _mean(each.fault == fault for each in asked) for fault in sorted(faults)},
    )


def as_json(figures: Figures) -> dict[str, Any]:
    """Figures as a JSON object, rounded to four places."""
    rounded: dict[str, Any] = _rounded(asdict(figures))
    return rounded


def _rounded(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _rounded(each) for key, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _with_means(by_type: Mapping[QuestionType, float]) -> dict[str, float]:
    return {**{str(type): share for type, share in by_type.items()}, "mean": fmean(by_type.values()),
            "pair_mean": fmean(by_type[type] for type in PAIR_TYPES)}


def _of(predictions: Iterable[Prediction], type: str, language: str) -> list[Prediction]:
    return [each for each in predictions if each.type == type and each.language == language]


def _share(predictions: Sequence[Prediction]) -> float:
    """Right of all that counts; longer texts weigh by what they have to tell."""
    total = sum((Tally(each.right * each.counted, each.counted) for each in predictions), Tally())
    return total.mean or 0.0


def _majority(predictions: Sequence[Prediction]) -> float:
    if not predictions:
        return 0.0
    first = predictions[0]
    pairs = [(each.question, each.reference) for each in predictions]
    return majority_share(pairs, first.type, READERS[first.language])


def _mean(marks: Iterable[bool]) -> float:
    found = list(marks)
    return sum(found) / len(found) if found else 0.0
