"""Templates as data: what stands around words and images, and where a conversation is cut into pieces.

A piece is encoded alone. That matters: sentencepiece puts a blank before each piece, and released weights were trained
on exactly these cuts (facts/minigpt4.md §3.1, §3.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn

PieceKind = Literal["text", "image", "answer"]


@dataclass(frozen=True)
class Piece:
    """One stretch of a conversation, encoded alone.

    kind 'text' is words of the template or the user, 'image' the place of the next image, 'answer' what the
    assistant says together with its end symbol.
    """

    kind: PieceKind
    text: str = ""
    learned: bool = False
    end: str = ""
    """end symbol of an answer that is closed"""


@dataclass(frozen=True, kw_only=True)
class Template:
    """What stands around words and images.

    Args:
        name: registered name.
        system: text before the first turn, joined to it. system_suffix: what always follows it, even if it is empty.
        user_prefix: before what the user says. user_suffix: after it.
        assistant_prefix: before an answer.
        assistant_open: before an answer that is still to come, where an original's chat wrote something else.
        answer_end: end symbol, learned.
        image_prefix: before each image. image_suffix: after it.
        stops: texts that end an answer; never shown.
        text_holds_specials: True = a special token's name counts anywhere, in captions too (the originals).
        joined_history: True = all text between two images is one piece, past answers included (the originals' chat).
        own_turn_per_image: True = each image is a user turn of its own in chat (the originals').
    """

    name: str
    system: str = ""
    system_suffix: str = ""
    user_prefix: str = ""
    user_suffix: str = ""
    assistant_prefix: str = ""
    assistant_open: str | None = None
    answer_end: str = "\n"
    image_prefix: str = ""
    image_suffix: str = ""
    stops: tuple[str, ...] = ()
    text_holds_specials: bool = False
    joined_history: bool = False
    own_turn_per_image: bool = False

    def pieces(self, conversation: Conversation) -> list[Piece]:
        """The pieces of a conversation. One that ends with a user turn ends with the open assistant prefix."""
        system = self.system if conversation.system is None else conversation.system
        pieces = list(self._turns(conversation.turns, system + self.system_suffix))
        return _join(pieces) if self.joined_history else pieces

    def _turns(self, turns: tuple[Turn, ...], system: str) -> Iterator[Piece]:
        text = system
        for number, turn in enumerate(turns):
            following = turns[number + 1].role if number + 1 < len(turns) else None
            if turn.role == "user":
                text += self.user_prefix + self._with_images_wrapped(turn.text) + self.user_suffix
                if following == "user":
                    continue
                open_prefix = self.assistant_prefix if self.assistant_open is None else self.assistant_open
                text += self.assistant_prefix if following == "assistant" else open_prefix
                yield from self._cut(text)
            else:
                yield from self._cut(text)  # only where an answer opens the conversation, after the system text
                yield Piece("answer", turn.text, learned=True, end=self.answer_end)
            text = ""

    def _with_images_wrapped(self, text: str) -> str:
        bare = text.replace(f"<Img>{IMAGE_MARK}</Img>", IMAGE_MARK)
        return bare.replace(IMAGE_MARK, f"{self.image_prefix}{IMAGE_MARK}{self.image_suffix}")

    def _cut(self, text: str) -> Iterator[Piece]:
        """Text with image marks -> text and image pieces; empty stretches are left out."""
        for number, stretch in enumerate(text.split(IMAGE_MARK)):
            if number:
                yield Piece("image")
            if stretch:
                yield Piece("text", stretch)


def _join(pieces: list[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        text = piece.text + piece.end
        if piece.kind == "image":
            joined.append(piece)
        elif joined and joined[-1].kind == "text":
            joined[-1] = Piece("text", joined[-1].text + text)
        else:
            joined.append(Piece("text", text))
    return joined


def template_around_prompt(prompt_template: str, end_sym: str, *, name: str = "prompt_template") -> Template:
    """The template that an original YAML spells as `prompt_template` and `end_sym` (training of the originals)."""
    before, _, after = prompt_template.partition("{}")
    return Template(
        name=name, user_prefix=before, user_suffix=after, answer_end=end_sym,
        image_prefix="<Img>", image_suffix="</Img>", stops=(end_sym,),
    )


def split_at_specials(text: str, specials: tuple[str, ...]) -> list[str]:
    """'a</s>b' -> ['a', '</s>', 'b']; empty stretches are left out."""
    if not specials:
        return [text] if text else []
    pattern = "(" + "|".join(re.escape(name) for name in sorted(specials, key=len, reverse=True)) + ")"
    return [stretch for stretch in re.split(pattern, text) if stretch]
