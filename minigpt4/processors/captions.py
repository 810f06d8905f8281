"""Text processors: how a raw caption is cleaned before it is learned (docs/originals/minigpt4.md#blip-caption)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from minigpt4.common.config.fields import check_values
from minigpt4.common.config.ranges import PositiveInt
from minigpt4.common.registry import text_processors

_DROPPED = re.compile(r'[.!"()*#:;~]')
_WHITE_RUNS = re.compile(r"\s{2,}")


@dataclass(frozen=True, kw_only=True)
class TextProcessorConfig:
    """`text_processor.train` or `.eval` of a data set."""

    name: str = "identity"
    """blip_caption (lower case, no punctuation, at most max_words) or identity"""
    prompt: str = ""
    """words put before every caption"""
    max_words: PositiveInt = 50
    """longer captions are cut after this many words (blip_caption)"""

    def __post_init__(self) -> None:
        check_values(self)


class TextProcessor(Protocol):
    """Raw caption -> the words that are learned."""

    def __call__(self, caption: str) -> str: ...


@text_processors.register("blip_caption")
@dataclass(frozen=True)
class BlipCaption:
    """BLIP's cleaning: lower case, . ! " ( ) * # : ; ~ become blanks, runs of white space one blank, words counted."""

    prompt: str = ""
    max_words: int = 50

    Config = TextProcessorConfig

    @classmethod
    def build(cls, config: TextProcessorConfig) -> BlipCaption:
        return cls(config.prompt, config.max_words)

    def __call__(self, caption: str) -> str:
        plain = _WHITE_RUNS.sub(" ", _DROPPED.sub(" ", caption.lower()))
        words = plain.rstrip("\n").strip(" ").split(" ")
        return self.prompt + " ".join(words[: self.max_words])


@text_processors.register("identity")
@dataclass(frozen=True)
class Identity:
    """The caption as it stands, after the prompt."""

    prompt: str = ""

    Config = TextProcessorConfig

    @classmethod
    def build(cls, config: TextProcessorConfig) -> Identity:
        return cls(config.prompt)

    def __call__(self, caption: str) -> str:
        return self.prompt + caption


def build_text_processor(config: TextProcessorConfig, *, where: str = "") -> TextProcessor:
    """The text processor a config names; `where` is its place for the error sentence of an unknown name."""
    processor: TextProcessor = text_processors.get(config.name, where=where).build(config)
    return processor
