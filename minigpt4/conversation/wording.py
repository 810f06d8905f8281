"""The words of a model: its templates of training and chat, what is learned, its prompts."""

from __future__ import annotations

from dataclasses import dataclass

from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.template import Template


@dataclass(frozen=True, kw_only=True)
class OriginalEncoding:
    """Where an original's way from text to ids differs from `standard`; each field is one of its faults.

    Args:
        specials_in_text: `</s>` in what people say is the token.
        bos_twice: the tokenizer's own BOS stands in front even where the template's text spells one (LLaVA, Llama-3).
        later_pieces_lose_first_id: behind an image the first id is dropped where the row begins with BOS: meant for the
            BOS of a tokenizer that adds it, and done with every tokenizer (LLaVA).
        joint_as_written: the blank or newline between an image and words is the data's, whatever it is.
        empty_answers_are_open: an answer without text has no end, in the templates that say so (LLaVA).
    """

    specials_in_text: bool = False
    bos_twice: bool = False
    later_pieces_lose_first_id: bool = False
    joint_as_written: bool = False
    empty_answers_are_open: bool = False


STANDARD = OriginalEncoding()


@dataclass(frozen=True, kw_only=True)
class Wording:
    """What a renderer needs beside a tokenizer.

    Args:
        training: template of training; `chat`: template of chatting, the same one in `standard`.
        rule: what is learned.
        prompts: texts with an image mark each, put where a user turn asks nothing.
        original: what an original did differently.
    """

    training: Template
    chat: Template
    rule: LabelRule
    prompts: tuple[str, ...] = ()
    original: OriginalEncoding = STANDARD
