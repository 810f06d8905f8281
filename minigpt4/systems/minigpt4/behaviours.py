"""MiniGPT-4's behaviours: `standard` and three states of the original repository (Vision-CAIR/MiniGPT-4).

April 2023: commit 22d8888, August 2023: 871918f, newest: d94738a.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from minigpt4.conversation.template import Template
from minigpt4.conversation.wording import STANDARD, OriginalEncoding
from minigpt4.systems.behaviour import Behaviour
from minigpt4.systems.minigpt4.chats import APRIL_VICUNA_CHAT, LLAMA2_CHAT, NEWEST_VICUNA_CHAT

ORIGINAL_CONTEXT = 2000
"""`max_length` of the original's chat (`conversation/conversation.py`)"""


@dataclass(frozen=True, kw_only=True)
class MiniGPT4Behaviour(Behaviour):
    """Everything in which the originals and ours differ; the defaults are `standard`.

    Args:
        pad: 'eos' or a piece of the vocabulary whose id pads and is never learned; None = pad by position only.
        end_survives: the end of an answer is kept when the answer is cut.
        prompt_per: one prompt a batch, or one a sample.
        encoding: what of the way from text to ids was different.
        chats: chat templates by kind of language model; empty = the template of training.
    """

    pad: str | None = None
    end_survives: bool = True
    prompt_per: Literal["sample", "batch"] = "sample"
    encoding: OriginalEncoding = STANDARD
    chats: Mapping[str, Template] = field(default_factory=dict)


def _original(name: str, *, consequences: str, train_crop: Literal["none", "random_resized"], pad: str,
              chats: Mapping[str, Template]) -> MiniGPT4Behaviour:
    """What all three states have in common."""
    return MiniGPT4Behaviour(
        name=name, opening="original", train_crop=train_crop, bos_in_generation=True, context_cut=ORIGINAL_CONTEXT,
        decay_rule="by_name", legacy_tokenizer=True, pad=pad, end_survives=False, prompt_per="batch",
        encoding=OriginalEncoding(specials_in_text=True, joint_as_written=True), chats=chats, consequences=consequences,
    )


BEHAVIOURS: Mapping[str, MiniGPT4Behaviour] = {
    behaviour.name: behaviour
    for behaviour in (
        MiniGPT4Behaviour(
            consequences="chat asks as training taught, the end of an answer survives, labels by position, images "
            "upright",
        ),
        _original(
            "original_april2023", train_crop="random_resized", pad="eos", chats={"vicuna": APRIL_VICUNA_CHAT},
            consequences="as April 2023: EOS is never learned, long answers lose their end, chat differs from training",
        ),
        _original(
            "original_aug2023", train_crop="random_resized", pad="$$",
            chats={"vicuna": NEWEST_VICUNA_CHAT, "llama2": LLAMA2_CHAT},
            consequences="as August 2023: '$$' is never learned, long answers lose their end, "
            "chat differs from training",
        ),
        _original(
            "original_newest", train_crop="none", pad="$$",
            chats={"vicuna": NEWEST_VICUNA_CHAT, "llama2": LLAMA2_CHAT},
            consequences="as the newest original: '$$' is never learned, long answers lose their end, "
            "chat differs from training, no crop",
        ),
    )
}
