"""transformers' chat messages -> our `Conversation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minigpt4.common.errors import UserError
from minigpt4.records.conversations import IMAGE_MARK, Turn

IMAGE_KEYS = ("image", "url", "path", "base64")
"""keys of an image block under which the image may stand"""


def turns_of(messages: Sequence[Mapping[str, Any]], *, own_turn_per_image: bool = False
             ) -> tuple[str | None, tuple[Turn, ...], list[Any]]:
    """System text (None = the template's own), turns, and the images in their order, None for a block without one.

    Args:
        own_turn_per_image: of the template: several images before a question are a user turn each, as in our chat.
        messages: each with `role` (system, user, assistant) and `content`, a text or blocks
            `{"type": "image", "image" or "url" or "path": …}` and `{"type": "text", "text": …}`.

    Raises:
        UserError: a role or block of another kind.
    """
    system: str | None = None
    turns: list[Turn] = []
    images: list[Any] = []
    for message in messages:
        role, text = message["role"], _words(message["content"], images)
        if role == "system":
            system = text
        elif role in ("user", "assistant"):
            while own_turn_per_image and text.startswith(f"{IMAGE_MARK} {IMAGE_MARK}"):
                turns.append(Turn(role, IMAGE_MARK))
                text = text.removeprefix(f"{IMAGE_MARK} ")
            turns.append(Turn(role, text))
        else:
            raise UserError("chat.role", where="messages", what=f"has role '{role}'",
                            fix="use system, user or assistant")
    return system, tuple(turns), images


def _words(content: str | Sequence[Mapping[str, Any]], images: list[Any]) -> str:
    if isinstance(content, str):
        return _without_mark(content)
    words = []
    for block in content:
        if block["type"] == "text":
            words.append(_without_mark(block["text"]))
        elif block["type"] == "image":
            images.append(next((block[key] for key in IMAGE_KEYS if block.get(key) is not None), None))
            words.append(IMAGE_MARK)
        else:
            raise UserError("chat.block", where="messages", what=f"contains a block of type '{block['type']}'",
                            fix="use text and image")
    return " ".join(word for word in words if word)


def _without_mark(text: str) -> str:
    if IMAGE_MARK in text:
        raise UserError("chat.mark", what=f"a message cannot contain {IMAGE_MARK}", fix="give the image as a block")
    return text
