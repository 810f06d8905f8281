"""Messages and sentences as gradio's components show them, which read even plain text as HTML: all of it is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minigpt4.serve.gate import LEARNED
from minigpt4.serve.messages import Measure, Message, Question, View
from minigpt4.serve.wording import Wording


def as_shown(messages: Sequence[Message], words: Wording) -> list[dict[str, Any]]:
    """The messages in the form of gradio's chat component."""
    return [{"role": message.role, "content": _content(message, words)} for message in messages]


def as_notice(view: View) -> str:
    """The sentence beside the conversation; a refusal is announced to screen readers at once."""
    if not view.notice:
        return ""
    kind, role = ("error", "alert") if view.refused else ("note", "status")
    return f'<p class="{kind}" role="{role}">{html.escape(view.notice)}</p>'


@dataclass(frozen=True)
class Title:
    """What stands at the head of the page.

    Args:
        name: of the model.
        about: what it knows, by language code.
        learned: whether there is a page at `LEARNED` that shows how it learned.
    """

    name: str = ""
    about: Mapping[str, str] = field(default_factory=dict)
    learned: bool = False


def as_heading(title: Title, language: str, words: Wording) -> str:
    """What the page is, which model answers, and what it knows."""
    model = f'<span class="model">{html.escape(title.name)}</span> ' if title.name else ""
    link = f' <a href="{LEARNED}" target="_blank">{words.how_it_learned}</a>' if title.learned else ""
    about = html.escape(title.about.get(language, ""), quote=False)
    return f"<h1>MiniGPT-4</h1><p>{model}{about}{link}</p>"


def as_empty(words: Wording) -> str:
    """What stands where there is no conversation yet (Markdown)."""
    return f"### {words.empty}\n\n{words.how_to}"


def as_box(question: Question) -> dict[str, Any]:
    """A question as it stands in the box."""
    return {"text": question.text, "files": list(question.files)}


def measured(measure: Measure, words: Wording) -> str:
    """What an answer cost, in one line."""
    return words.measure.format(tokens=measure.tokens, seconds=f"{measure.seconds:.1f}", rate=f"{measure.rate:.0f}")


def _content(message: Message, words: Wording) -> str | dict[str, str]:
    if message.file:
        return {"path": message.file, "alt_text": message.name}
    text = html.escape(message.text, quote=False)
    if message.role == "user":
        return text
    return f'<span class="said">{text}</span>{_foot(message.measure, words)}'


def _foot(measure: Measure | None, words: Wording) -> str:
    if measure is None:
        return ""
    copy = (f'<button type="button" class="copy"><span class="do">{words.copy}</span>'
            f'<span class="done">{words.copied}</span></button>')
    return f'<div class="measure"><span>{measured(measure, words)}</span>{copy}</div>'
