"""Own texts as questions: what a line asks is asked, and what it wants is compared with what was said.

The question of a line is that of its conversation, or the model's first prompt where it asks nothing. Of several turns
each answer is asked for after the turns before it as they stand in the texts. Lines that ask the same about the same
images are one question with several references.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.evaluation.asking import Advance
from minigpt4.generation.engine import Answer, Engine
from minigpt4.generation.prompt import Prompt, embed_prompt
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.images import ImageTokens
from minigpt4.metrics.cider import cider_d
from minigpt4.metrics.words import contained, is_exact
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Sample

PROMPT_MARK = f"<Img>{IMAGE_MARK}</Img>"
"""an image as the original's prompts write it"""
ROOM = 20
"""tokens that an answer may be longer than the longest wanted one: enough to see that it does not end"""
ENOUGH_QUESTIONS = 10
"""from here on the references of other images say which wordings are rare, as CIDEr asks"""
SEVERAL_REFERENCES = 2


@dataclass(frozen=True)
class Question:
    """A conversation up to what is to be answered, and what the texts want there, one or more wordings."""

    conversation: Conversation
    wanted: tuple[str, ...]

    @property
    def text(self) -> str:
        """What is asked, without the marks of images."""
        said = self.conversation.turns[-1].text
        return said.replace(PROMPT_MARK, " ").replace(IMAGE_MARK, " ").strip()


@dataclass(frozen=True)
class Result:
    """A question with its answer. Where an image could not be read `error` says so, and nothing else counts."""

    question: Question
    said: str = ""
    reason: str = ""
    """why the answer ended: stop or length"""
    error: str = ""

    @property
    def exact(self) -> bool:
        """Word for word one of the wanted texts."""
        return is_exact(self.said, self.question.wanted)

    @property
    def contained(self) -> float:
        """Share of the wanted words that were said."""
        return contained(self.said, self.question.wanted)

    @property
    def right(self) -> bool:
        """No wanted word is lacking."""
        return self.contained == 1


@dataclass(frozen=True)
class TextFigures:
    """What was said about own texts, in numbers; shares are of the questions that could be asked."""

    questions: int
    unreadable: int
    """questions whose image could not be read"""
    right: float
    """answers that have every wanted word"""
    exact: float
    """answers that are word for word a wanted text"""
    contained: float
    """wanted words that were said"""
    ends_properly: float
    """answers that the model ended itself"""
    cider: float | None
    """CIDEr-D, 0 to 10; None where there are too few references for it"""


def questions_of(samples: Sequence[Sample], renderer: Renderer) -> list[Question]:
    """Everything the samples ask, in their order."""
    wanted: dict[tuple[object, ...], tuple[Conversation, list[str]]] = {}
    for sample in samples:
        for asked, answer in _exchanges(renderer.with_prompt(sample.conversation)):
            key = (asked.turns, asked.images, asked.system)
            wanted.setdefault(key, (asked, []))[1].append(answer)
    return [Question(asked, tuple(dict.fromkeys(answers))) for asked, answers in wanted.values()]


def _exchanges(conversation: Conversation) -> Iterator[tuple[Conversation, str]]:
    """(conversation before an answer, the answer) for each answer."""
    for number, turn in enumerate(conversation.turns):
        if turn.role == "assistant" and number:
            yield conversation.with_turns(conversation.turns[:number]), turn.text


def longest_answer(questions: Sequence[Question], tokenizer: Tokenizer) -> int:
    """Tokens that an answer may have: as many as the longest wanted one, and some room."""
    lengths = (len(tokenizer.encode(text, specials=False)) for question in questions for text in question.wanted)
    return max(lengths, default=0) + ROOM


def ask(loaded: LoadedModel, questions: Sequence[Question], settings: DecodingSettings, *, batch_size: int = 8,
        advance: Advance = lambda number: None) -> list[Result]:
    """Answers in the order of the questions.

    Args:
        loaded: the model.
        questions: from `questions_of`.
        settings: how answers are chosen.
        batch_size: questions per batch.
        advance: called after each batch.
    """
    engine, images, found = Engine(loaded), ImageTokens(loaded), list[Result]()
    for first in range(0, len(questions), batch_size):
        batch = questions[first : first + batch_size]
        prompts = [_prompt_or_error(loaded, images, question) for question in batch]
        readable = [prompt for prompt in prompts if isinstance(prompt, Prompt)]
        answers = iter(engine.answer_batch(readable, settings) if readable else [])
        found += [Result(question, error=str(prompt)) if isinstance(prompt, UserError) else
                  _result(question, next(answers)) for question, prompt in zip(batch, prompts, strict=True)]
        advance(len(batch))
    return found


def _prompt_or_error(loaded: LoadedModel, images: ImageTokens, question: Question) -> Prompt | UserError:
    """One that cannot be read must not end the evaluation of all the others."""
    try:
        tokens, digests = images.of(question.conversation.images)
    except UserError as error:
        return error
    rendered = loaded.renderer.render_prompt(question.conversation)
    return embed_prompt(loaded.model, rendered, tokens, digests)


def _result(question: Question, answer: Answer) -> Result:
    return Result(question, answer.text.strip(), answer.reason)


def text_figures(results: Sequence[Result]) -> TextFigures:
    """The numbers of a set of answers."""
    asked = [result for result in results if not result.error]
    return TextFigures(
        questions=len(asked), unreadable=len(results) - len(asked),
        right=_mean([result.right for result in asked]), exact=_mean([result.exact for result in asked]),
        contained=_mean([result.contained for result in asked]),
        ends_properly=_mean([result.reason == "stop" for result in asked]), cider=_cider(asked),
    )


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def _cider(asked: Sequence[Result]) -> float | None:
    references = [result.question.wanted for result in asked]
    several = len(asked) > 1 and _mean([len(each) for each in references]) >= SEVERAL_REFERENCES
    if len(asked) < ENOUGH_QUESTIONS and not several:
        return None
    return fmean(cider_d([result.said for result in asked], references))
