"""A conversation to take away: Markdown for people, JSON for programs. Images are named, not contained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from minigpt4.serve.messages import Message
from minigpt4.serve.shown import measured
from minigpt4.serve.wording import Wording


def as_markdown(messages: Sequence[Message], name: str, words: Wording, now: datetime) -> str:
    """The conversation as a page of text.

    Args:
        messages: all of it.
        name: of the model.
        words: language of what stands around it.
        now: when it was taken away.
    """
    parts = [f"# {words.conversation.format(name=name)}", f"{now:%Y-%m-%d %H:%M}"]
    speaker = ""
    for message in messages:
        if message.role != speaker:
            speaker = message.role
            parts.append(f"**{words.asked_by if speaker == 'user' else words.answered_by}**")
        parts.append(f"![{message.name}]({message.name})" if message.file else message.text)
        if message.measure is not None:
            parts.append(f"*{measured(message.measure, words)}*")
    return "\n\n".join(parts) + "\n"


def as_json(messages: Sequence[Message], name: str, now: datetime) -> str:
    """The same for programs: model, when, and messages of role and text or image; tokens and seconds of answers."""
    said = [_plain(message) for message in messages]
    value = {"model": name, "exported": now.isoformat(timespec="seconds"), "messages": said}
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _plain(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role}
    said |= {"image": message.name} if message.file else {"text": message.text}
    if message.measure is not None:
        said |= {"tokens": message.measure.tokens, "seconds": round(message.measure.seconds, 3)}
    return said
