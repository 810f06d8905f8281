"""From positions to batches: read, render, open images; what fails leaves a hole with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from minigpt4.common.errors import UserError
from minigpt4.common.seeds import seed_for
from minigpt4.conversation.batching import Row, collate
from minigpt4.datasets.feature_store.images import StoredImages
from minigpt4.processors.decoding import ImageError
from minigpt4.records.batches import PIXELS, Batch, Rendered
from minigpt4.records.conversations import Conversation, Sample, Unreadable
from minigpt4.records.images import ImageRef


class TooLong(UserError):
    """A sample of more positions than the language model has."""


MAX_CHARACTERS = 1_000_000
"""of a sample's words; a book takes a tokenizer seconds, and most of it is cut off afterwards"""


def refuse_many_characters(conversation: Conversation) -> None:
    """Raise `TooLong` for a sample whose words are not worth being encoded."""
    number = sum(len(turn.text) for turn in conversation.turns)
    if number > MAX_CHARACTERS:
        raise TooLong("data.too_long", where=f"{number} characters", what=f"has more than {MAX_CHARACTERS} characters",
                      fix="split it")


def refuse_too_long(length: int, max_positions: int | None) -> None:
    """Raise `TooLong` for a row that the language model has no positions for."""
    if max_positions is not None and length > max_positions:
        raise TooLong("data.too_long", where=f"{length} positions", what="is longer than the language model's "
                      f"{max_positions} positions", fix="shorten or split the conversation")


class SampleRenderer(Protocol):
    """What the loader asks of `conversation.renderer.Renderer`."""

    @property
    def pad_token_id(self) -> int: ...

    @property
    def prompt_per(self) -> Literal["sample", "batch"]: ...

    def render(self, conversation: Conversation, draw: int) -> Rendered: ...


class ImageReader(Protocol):
    """What the loader asks of an image processor, or of whatever else stands in the place of images."""

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> Tensor | Mapping[str, Tensor]:
        """One image -> its pixels [3, S, S], or several tensors by name. Raises `ImageError` if it cannot be read."""


@dataclass(frozen=True)
class Drawn:
    """A sample on its way into a batch: what stands at a position of the order."""

    position: int
    dataset: str
    sample: Sample | Unreadable


@dataclass(frozen=True)
class BatchMaker:
    """Makes batches of drawn samples; everything random is a function of (seed, position) or (seed, step).

    Args:
        renderer: conversation -> ids, labels, slots.
        image_processors: by name of the data set; text-only data sets need none.
        seed: of prompts and of random crops.
        max_positions: of the language model; a longer row is unreadable. None = no end.
    """

    renderer: SampleRenderer
    image_processors: Mapping[str, ImageReader]
    seed: int
    max_positions: int | None = None

    def make(self, step: int, drawn: Iterable[Drawn]) -> Batch:
        """One micro-batch. Unreadable and unsupervised samples are named in it and have no row."""
        drawn = list(drawn)
        prepared = [self.prepare(step, each) for each in drawn]
        if _of_several_kinds(prepared):  # some images are stored, some are not: pixels of all
            live = replace(self, image_processors=_without_store(self.image_processors))
            prepared = [live.prepare(step, each) for each in drawn]
        unreadable = [row for row in prepared if isinstance(row, Unreadable)]
        readable = [row for row in prepared if not isinstance(row, Unreadable)]
        rows = [row for row in readable if row.rendered.num_supervised]
        unsupervised = [row.sample_id for row in readable if not row.rendered.num_supervised]
        return collate(rows, pad_token_id=self.renderer.pad_token_id, unreadable=unreadable, unsupervised=unsupervised)

    def length(self, step: int, drawn: Drawn) -> int:
        """Tokens of a sample's row, without a look at its images; 0 where it will have none."""
        if isinstance(drawn.sample, Unreadable):
            return 0
        try:
            return len(self._rendered(step, drawn.position, drawn.sample).ids)
        except TooLong:
            return 0

    def prepare(self, step: int, drawn: Drawn) -> Row | Unreadable:
        """One sample with its numbers and pixels, or why it has none."""
        sample = drawn.sample
        if isinstance(sample, Unreadable):
            return sample
        try:
            rendered = self._rendered(step, drawn.position, sample)
            images = self._images(drawn, sample, rendered.num_images)
        except (ImageError, TooLong) as error:
            return Unreadable.because(sample.id, sample.source, error)
        return Row(sample.id, rendered, images, sample.targets)

    def _rendered(self, step: int, position: int, sample: Sample) -> Rendered:
        """Raises `TooLong`."""
        refuse_many_characters(sample.conversation)
        rendered = self.renderer.render(sample.conversation, self._prompt_draw(step, position))
        refuse_too_long(len(rendered.ids), self.max_positions)
        return rendered

    def _prompt_draw(self, step: int, position: int) -> int:
        """The originals draw one prompt for a whole batch (docs/originals/minigpt4.md#stage2-prompt)."""
        number = step if self.renderer.prompt_per == "batch" else position
        return seed_for(self.seed, "prompt", number)

    def _images(self, drawn: Drawn, sample: Sample, number: int) -> tuple[Mapping[str, Tensor], ...]:
        """The tensors of the sample's first images: of those that have their place in the row."""
        process = self.image_processors.get(drawn.dataset)
        if process is None and sample.conversation.images:
            raise UserError("data.images", where=sample.source, what="has an image, and the model is text-only",
                            fix="remove the images from the data, or use a model with a visual path")
        if process is None or not number:
            return ()
        generator = torch.Generator().manual_seed(seed_for(self.seed, "image", drawn.position))
        return tuple(_named(process(ref, generator)) for ref in sample.conversation.images[:number])


def _of_several_kinds(prepared: Iterable[Row | Unreadable]) -> bool:
    return len({tuple(image) for row in prepared if isinstance(row, Row) for image in row.images}) > 1


def _without_store(processors: Mapping[str, ImageReader]) -> dict[str, ImageReader]:
    return {name: each.fallback if isinstance(each, StoredImages) else each for name, each in processors.items()}


def _named(image: Tensor | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {PIXELS: image} if isinstance(image, Tensor) else image
