"""What a conversation is cut into before it becomes ids: spans, and pieces of spans that are encoded in one go.

A span belongs to the template or to a person. In the template's own spans a special token's name is the token; what a
person or a data set says is always plain text. A piece matters because tokenizers look around: sentencepiece puts a
blank before each piece, and released weights were trained on exactly the cuts that their originals made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A stretch of text with one owner.

    Args:
        text: not empty.
        own: True = the template's: special tokens count; False = a person's or a data set's: plain text.
        turn: number of the answer (from 0) that the span is part of, its end included; None = not an answer.
        is_end: True = what closes an answer.
    """

    text: str
    own: bool = True
    turn: int | None = None
    is_end: bool = False


@dataclass(frozen=True)
class ImagePlace:
    """Where the next image of the conversation stands."""


IMAGE_PLACE = ImagePlace()
Stretch = Span | ImagePlace


@dataclass(frozen=True)
class Piece:
    """Spans that are encoded together; a piece without spans is the place of an image."""

    spans: tuple[Span, ...] = ()

    @property
    def is_image(self) -> bool:
        return not self.spans

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)

    @property
    def is_answer(self) -> bool:
        """True for a piece that is one answer and nothing else."""
        turns = {span.turn for span in self.spans}
        return len(turns) == 1 and None not in turns


def cut(stretches: Iterable[Stretch], *, around_answers: bool) -> list[Piece]:
    """Group a conversation's stretches into pieces: cut at images, and around answers where the template says so."""
    pieces: list[Piece] = []
    group: list[Span] = []
    for stretch in stretches:
        is_image = isinstance(stretch, ImagePlace)
        if group and (is_image or (around_answers and group[-1].turn != stretch.turn)):  # type: ignore[union-attr]
            pieces.append(Piece(tuple(group)))
            group = []
        if isinstance(stretch, Span):
            if stretch.text:
                group.append(stretch)
        else:
            pieces.append(Piece())
    return [*pieces, Piece(tuple(group))] if group else pieces


def text_of(pieces: Sequence[Piece], image: str) -> str:
    """The conversation as it is written, with `image` in the place of each image."""
    return "".join(image if piece.is_image else piece.text for piece in pieces)
