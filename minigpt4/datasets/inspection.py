"""Data as the model will see them: samples with what is learned marked, a sheet of images."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, Protocol

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from minigpt4.datasets.dataset import IndexedDataset
from minigpt4.records.batches import IGNORED_LABEL, Rendered
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Sample
from minigpt4.records.images import ImageSpec

StretchKind = Literal["image", "learned", "given"]

TILE = 192
"""side of an image on the contact sheet, in pixels"""

_TEXT_LINES = 5
_LINE_HEIGHT = 14
_GREEN, _PLAIN = "\033[32m", "\033[0m"


class Decoder(Protocol):
    """What inspection asks of a tokenizer."""

    def decode(self, ids: Sequence[int], *, skip_specials: bool = True) -> str: ...


@dataclass(frozen=True)
class Stretch:
    """Positions in a row of one kind: an image, words that are learned, words that are given."""

    kind: StretchKind
    text: str
    length: int


def stretches(rendered: Rendered, tokenizer: Decoder) -> list[Stretch]:
    """A rendered sample as a person reads it."""
    kinds = [_kind(slot, label) for slot, label in zip(rendered.slots, rendered.labels, strict=True)]
    found, start = [], 0
    for kind, group in groupby(kinds):
        length = len(list(group))
        ids = rendered.ids[start : start + length]
        text = "" if kind == "image" else tokenizer.decode(ids, skip_specials=False)
        found.append(Stretch(kind, text, length))
        start += length
    return found


def marked_text(parts: Iterable[Stretch], *, colored: bool) -> str:
    """One string: images as <image: n tokens>, learned words green, or in [[ ]] where there is no colour."""
    before, after = (_GREEN, _PLAIN) if colored else ("[[", "]]")
    shown = []
    for part in parts:
        if part.kind == "image":
            shown.append(f"<image: {part.length} tokens>")
        else:
            shown.append(before + part.text + after if part.kind == "learned" else part.text)
    return "".join(shown)


def _kind(slot: int, label: int) -> StretchKind:
    return "image" if slot >= 0 else "learned" if label != IGNORED_LABEL else "given"


# --- contact sheet ---


def visible(pixel_values: Tensor, spec: ImageSpec) -> Image.Image:
    """`pixel_values` [3, S, S] as the image that they are, normalisation undone."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
    levels = (pixel_values * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


def contact_sheet(tiles: Sequence[tuple[Image.Image, str]], columns: int = 4) -> Image.Image:
    """Images in rows, each over the first lines of its text."""
    columns = max(1, min(columns, len(tiles)))
    height = TILE + _TEXT_LINES * _LINE_HEIGHT + 12
    sheet = Image.new("RGB", (columns * (TILE + 8) + 8, -(-len(tiles) // columns) * height + 8), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (image, text) in enumerate(tiles):
        left, top = 8 + number % columns * (TILE + 8), 8 + number // columns * height
        sheet.paste(image.resize((TILE, TILE), Image.Resampling.NEAREST), (left, top))
        lines = textwrap.wrap(text, width=32)[:_TEXT_LINES]
        for row, line in enumerate(lines):
            pen.text((left, top + TILE + 2 + row * _LINE_HEIGHT), line, fill="black", font=font)
    return sheet


def answers_of(conversation: Conversation) -> str:
    """All that the assistant says."""
    return " / ".join(turn.text for turn in conversation.turns if turn.role == "assistant")


def texts_of(dataset: IndexedDataset) -> Iterator[str]:
    """What is said in a data set, turn by turn, without image marks; unreadable samples say nothing."""
    for number in range(len(dataset)):
        sample = dataset.sample(number)
        if isinstance(sample, Sample):
            yield from (turn.text.replace(IMAGE_MARK, "") for turn in sample.conversation.turns)
