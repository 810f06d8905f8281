"""The one switch between "as the original" and "right": each behaviour is data, chosen once when a model is built.

What differed between the originals: facts/minigpt4.md §3.2 (pad), §3.4 (cut end symbol), §3.6 (prompt per batch),
§3.9 (chat), §3.13 (generation starts with BOS), §4.6 (pixels), §5.5 (decay groups).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from minigpt4.conversation.pieces import Template
from minigpt4.conversation.templates.original_chats import APRIL_VICUNA_CHAT, LLAMA2_CHAT, NEWEST_VICUNA_CHAT


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Everything in which the originals and ours differ.

    Args:
        name: value of `model.behaviour`.
        opening: how images are opened (records.images.ImageSpec).
        train_crop: what `blip2_image_train` does: 'random_resized' (2023) or 'none'.
        pad: 'eos' or a piece of the vocabulary whose id pads and is never learned; None = pad by position only.
        end_survives: the end symbol is kept when an answer is cut.
        prompt_per: one prompt a batch, or one a sample.
        text_holds_specials: `</s>` in a caption is the token.
        chats: chat templates by kind of language model; empty = the template of training.
        generation_starts_with_bos: the processors of `generate` see a leading BOS, as transformers 4 put it.
        decay_rule: 'by_name' (substrings, the originals) or 'by_dimension'.
        consequences: one line for the report.
    """

    name: str
    opening: Literal["original", "standard"] = "original"
    train_crop: Literal["none", "random_resized"] = "none"
    pad: str | None = None
    end_survives: bool = False
    prompt_per: Literal["sample", "batch"] = "batch"
    text_holds_specials: bool = True
    chats: Mapping[str, Template]
    generation_starts_with_bos: bool = True
    decay_rule: Literal["by_name", "by_dimension"] = "by_name"
    consequences: str


BEHAVIOURS: Mapping[str, Behaviour] = {
    behaviour.name: behaviour
    for behaviour in (
        Behaviour(
            name="standard",
            opening="standard",
            end_survives=True,
            prompt_per="sample",
            text_holds_specials=False,
            chats={},
            generation_starts_with_bos=False,
            decay_rule="by_dimension",
            consequences="chat asks as training taught, end symbols survive, labels by position, images upright",
        ),
        Behaviour(
            name="original_april2023",
            train_crop="random_resized",
            pad="eos",
            chats={"vicuna": APRIL_VICUNA_CHAT},
            consequences="as April 2023: EOS is never learned, long answers lose their end, chat differs from training",
        ),
        Behaviour(
            name="original_aug2023",
            train_crop="random_resized",
            pad="$$",
            chats={"vicuna": NEWEST_VICUNA_CHAT, "llama2": LLAMA2_CHAT},
            consequences="as August 2023: '$$' is never learned, long answers lose their end, "
            "chat differs from training",
        ),
        Behaviour(
            name="original_newest",
            pad="$$",
            chats={"vicuna": NEWEST_VICUNA_CHAT, "llama2": LLAMA2_CHAT},
            consequences="as the newest original: '$$' is never learned, long answers lose their end, "
            "chat differs from training, no crop",
        ),
    )
}
