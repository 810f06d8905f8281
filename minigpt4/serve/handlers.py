"""gradio's events of the page: each finds the visitor of its session and hands on what happens in the conversation."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from minigpt4.serve.visitor import Knobs, Message
from minigpt4.serve.visitors import Visitors
from minigpt4.serve.wording import ENGLISH, WORDINGS, Wording

if TYPE_CHECKING:
    from gradio import Request

NOTHING_WRITTEN = {"text": "", "files": []}


class Handlers:
    """What happens when somebody clicks.

    Args:
        visitors: who is here.
    """

    def __init__(self, visitors: Visitors) -> None:
        from gradio import Request, skip

        self.visitors = visitors
        self._unchanged = skip()
        for handler in vars(type(self)).values():
            if "request" in getattr(handler, "__annotations__", {}):
                handler.__annotations__["request"] = Request  # gradio hands the request to who asks for its very class

    def arrive(self, request: Request) -> None:
        """The page was opened."""
        self.visitors.of(request.session_hash)

    def leave(self, request: Request) -> None:
        """The tab was closed, or left by loading the page anew."""
        if request.session_hash is not None:
            self.visitors.leave(request.session_hash)

    def begin(self, request: Request) -> None:
        """A question was sent; it may have to wait."""
        self.visitors.of(request.session_hash).begin()

    def ask(self, question: dict[str, Any] | None, temperature: float, beams: int, length: int, language: str,
            request: Request) -> Iterator[tuple[Any, ...]]:
        """The conversation, a notice and what stands in the box, while the answer grows."""
        question, visitor = question or {}, self.visitors.of(request.session_hash)
        text, files = question.get("text") or "", [str(file) for file in question.get("files") or []]
        emptied = False
        for view in visitor.ask(text, files, Knobs(temperature, beams, length), _words(language)):
            box: Any = self._unchanged  # whoever writes the next question meanwhile keeps it
            if view.refused and emptied:
                box = question
            elif not view.refused and not emptied:
                box, emptied = NOTHING_WRITTEN, True
            yield as_shown(view.messages), html.escape(view.notice), box
        if request.session_hash is None:
            visitor.end()

    def retry(self, temperature: float, beams: int, length: int, language: str, request: Request
              ) -> Iterator[tuple[Any, ...]]:
        """The conversation and a notice, while the last question is answered again."""
        visitor = self.visitors.of(request.session_hash)
        for view in visitor.retry(Knobs(temperature, beams, length), _words(language)):
            yield as_shown(view.messages), html.escape(view.notice)

    def stop(self, request: Request) -> None:
        """End the answer."""
        self.visitors.of(request.session_hash).stop()

    def clear(self, request: Request) -> tuple[Any, ...]:
        """Start over."""
        return as_shown(self.visitors.of(request.session_hash).clear().messages), "", NOTHING_WRITTEN


def as_shown(messages: Sequence[Message]) -> list[Message]:
    """Messages for gradio's components, which read even plain text as HTML: what somebody wrote is escaped."""
    return [{**message, "content": html.escape(message["content"], quote=False)}
            if isinstance(message["content"], str) else message for message in messages]


def _words(language: str) -> Wording:
    return WORDINGS.get(language, ENGLISH)
