"""What stands in a conversation on the page: messages, and what an answer cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """What an answer cost: its tokens, and seconds from its turn in the line to its end."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second; 0 for what took no time."""
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Message:
    """A text, or an image file, of one side."""

    role: Literal["user", "assistant"]
    text: str = ""
    file: str = ""
    """path of an image; empty for a text"""
    measure: Measure | None = field(default=None, compare=False)
    """of a finished answer"""

    @property
    def name(self) -> str:
        """The file's own name, without its folder."""
        return Path(self.file).name


@dataclass(frozen=True)
class View:
    """What the visitor sees: all messages, and a sentence to show beside them (empty = none)."""

    messages: tuple[Message, ...]
    notice: str = ""
    refused: bool = False
    """the question was not taken; the notice says why"""


@dataclass(frozen=True)
class Question:
    """What was asked: a text and the paths of images."""

    text: str
    files: tuple[str, ...] = ()
