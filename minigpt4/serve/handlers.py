"""gradio's events of the page: each finds the visitor of its session and hands on what happens in the conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from minigpt4.serve.knobs import Knobs
from minigpt4.serve.messages import Question
from minigpt4.serve.shown import as_box, as_notice, as_shown
from minigpt4.serve.transcript import as_json, as_markdown
from minigpt4.serve.visitor import Visitor
from minigpt4.serve.visitors import Visitors
from minigpt4.serve.wording import ENGLISH, WORDINGS, Wording

if TYPE_CHECKING:
    from gradio import Request, SelectData

NOTHING_WRITTEN = Question("")
REMAINS_S = 3.0
"""so long a page that is loaded anew waits for the end of the answer that it cut off"""


@dataclass(frozen=True)
class Example:
    """An example question, sent by a click.

    Args:
        image: path of the image that it is about; empty = a question without an image.
        question: its words.
        others: further images, shown after the first.
    """

    image: str
    question: str
    others: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[str, ...]:
        return (*([self.image] if self.image else []), *self.others)

    @property
    def language(self) -> str:
        """Chinese where it is written in Chinese characters."""
        return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in self.question) else "en"


def in_language(examples: Sequence[Example], language: str) -> list[Example]:
    """Those of a language; all where it has none."""
    return [one for one in examples if one.language == language] or list(examples)


class Handlers:
    """What happens when somebody clicks.

    Args:
        visitors: who is here.
        examples: what a click on one asks.
        name: of the model, for what is taken away.
    """

    def __init__(self, visitors: Visitors, examples: Sequence[Example], name: str) -> None:
        from gradio import Request, SelectData, skip, update

        self.visitors, self.examples, self.name = visitors, examples, name
        self._unchanged, self._update = skip(), update
        classes = {"request": Request, "chosen": SelectData}  # gradio hands these to who asks for their very class
        for handler in vars(type(self)).values():
            annotations = getattr(handler, "__annotations__", {})
            annotations.update({key: value for key, value in classes.items() if key in annotations})

    def arrive(self, token: str | None, language: str, request: Request) -> tuple[Any, ...]:
        """The page was opened; a browser that was here before finds its conversation."""
        visitor = self.visitors.arrive(request.session_hash, token or "")
        visitor.settle(REMAINS_S)
        if not visitor.messages:  # a newcomer, who may have asked already
            return self._unchanged, self._unchanged, self._unchanged
        return as_shown(visitor.messages, _words(language)), *self._buttons(visitor)

    def leave(self, request: Request) -> None:
        """The tab was closed, or left by loading the page anew."""
        if request.session_hash is not None:
            self.visitors.leave(request.session_hash)

    def begin(self, request: Request) -> tuple[Any, ...]:
        """A question was sent; it may have to wait."""
        self._visitor(request).begin()
        return self._update(visible=True), self._update(visible=False)

    def settled(self, request: Request) -> tuple[Any, ...]:
        """An answer has ended, or was never begun: the buttons as they belong now."""
        return self._buttons(self._visitor(request))

    def choose(self, language: str, chosen: SelectData, request: Request) -> tuple[Any, ...]:
        """An example was clicked; only its number counts, whatever else the browser says of it."""
        return (chosen.index if isinstance(chosen.index, int) else -1), *self.begin(request)

    def ask(self, question: dict[str, Any] | None, temperature: float, beams: int, length: int, language: str,
            top_p: float, seed: str | None, system: str | None, request: Request) -> Iterator[tuple[Any, ...]]:
        """The conversation, a notice and what stands in the box, while the answer grows."""
        question, visitor, words = question or {}, self._visitor(request), _words(language)
        text, files = question.get("text") or "", [str(file) for file in question.get("files") or []]
        emptied = False
        for view in visitor.ask(text, files, _knobs(temperature, beams, length, top_p, seed, system), words):
            box: Any = self._unchanged  # whoever writes the next question meanwhile keeps it
            if view.refused and not (text.strip() or files):
                box = as_box(NOTHING_WRITTEN)
            elif view.refused and emptied:
                box = question
            elif not view.refused and not emptied:
                box, emptied = as_box(NOTHING_WRITTEN), True
            yield as_shown(view.messages, words), as_notice(view), box
        if request.session_hash is None:
            visitor.end()

    def ask_example(self, number: float | None, temperature: float, beams: int, length: int, language: str,
                    top_p: float, seed: str | None, system: str | None, request: Request
                    ) -> Iterator[tuple[Any, ...]]:
        """The same for an example; what stands in the box stays."""
        offered, words, index = in_language(self.examples, language), _words(language), int(number or 0)
        if not 0 <= index < len(offered):
            yield self.messages(language, request), ""
            return
        one, knobs = offered[index], _knobs(temperature, beams, length, top_p, seed, system)
        for view in self._visitor(request).ask(one.question, one.images, knobs, words):
            yield as_shown(view.messages, words), as_notice(view)

    def retry(self, temperature: float, beams: int, length: int, language: str, top_p: float, seed: str | None,
              system: str | None, request: Request) -> Iterator[tuple[Any, ...]]:
        """The conversation and a notice, while the last question is answered again."""
        visitor, words = self._visitor(request), _words(language)
        for view in visitor.retry(_knobs(temperature, beams, length, top_p, seed, system), words):
            yield as_shown(view.messages, words), as_notice(view)

    def edit(self, language: str, request: Request) -> tuple[Any, ...]:
        """The last question goes back into the box."""
        visitor, words = self._visitor(request), _words(language)
        view, question = visitor.take_back(words, keep_files=True)
        box = self._unchanged if view.refused else as_box(question)
        return as_shown(view.messages, words), as_notice(view), box, *self._buttons(visitor)

    def delete(self, language: str, request: Request) -> tuple[Any, ...]:
        """The last question and its answer are taken out."""
        visitor, words = self._visitor(request), _words(language)
        view, _ = visitor.take_back(words, keep_files=False)
        return as_shown(view.messages, words), as_notice(view), *self._buttons(visitor)

    def stop(self, request: Request) -> None:
        """End the answer."""
        self._visitor(request).stop()

    def clear(self, request: Request) -> tuple[Any, ...]:
        """Start over."""
        visitor = self._visitor(request)
        visitor.clear()
        return [], "", as_box(NOTHING_WRITTEN), *self._buttons(visitor)

    def markdown(self, language: str, request: Request) -> str:
        """The conversation to take away, for people."""
        return as_markdown(self._visitor(request).messages, self.name, _words(language), datetime.now().astimezone())

    def json(self, request: Request) -> str:
        """The conversation to take away, for programs."""
        return as_json(self._visitor(request).messages, self.name, datetime.now().astimezone())

    def messages(self, language: str, request: Request) -> Any:
        """What stands there, in another language; an answer that is growing is left alone."""
        visitor = self._visitor(request)
        return self._unchanged if visitor.busy else as_shown(visitor.messages, _words(language))

    def _visitor(self, request: Request) -> Visitor:
        return self.visitors.of(request.session_hash)

    def _buttons(self, visitor: Visitor) -> tuple[Any, ...]:
        """Stop only while something runs, the rest only where there is an answer."""
        busy = visitor.busy
        return self._update(visible=busy), self._update(visible=not busy and bool(visitor.messages))


def _knobs(temperature: float, beams: int, length: int, top_p: float, seed: str | None, system: str | None) -> Knobs:
    digits = str(seed or "").strip()
    number = int(digits) if digits.isascii() and digits.isdigit() else -1  # -1 is refused as every wrong setting is
    return Knobs(temperature, beams, length, top_p, number if digits else None, system or "")


def _words(language: str) -> Wording:
    return WORDINGS.get(language, ENGLISH)
