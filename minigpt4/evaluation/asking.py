"""Many questions about many images, answered in batches by one model.

Images are encoded once, whatever is asked of them. N images, T tokens an image, D width of the language model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.generation.engine import Answer, Engine
from minigpt4.generation.prompt import Prompt, embed_prompt
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.images import ImageTokens, as_image_ref
from minigpt4.records.conversations import Conversation
from minigpt4.records.images import ImageRef

ENCODED_AT_ONCE = 32

Advance = Callable[[int], object]
"""called with the number of new answers, for a progress bar"""


@dataclass(frozen=True)
class Gallery:
    """Images with their tokens [N, T, D]."""

    images: tuple[ImageRef, ...]
    tokens: Tensor

    @classmethod
    def encode(cls, loaded: LoadedModel, paths: Sequence[Path]) -> Gallery:
        """Encode images by a model. Raises `UserError` at the first that cannot be read."""
        images, encoder = tuple(map(as_image_ref, paths)), ImageTokens(loaded)
        starts = range(0, len(images), ENCODED_AT_ONCE)
        parts = [encoder.of(images[first : first + ENCODED_AT_ONCE])[0] for first in starts]
        return cls(images, torch.cat([part for part in parts if part is not None]))


@dataclass(frozen=True)
class Asked:
    """A question about an image of a gallery; an empty one shows the image and asks nothing."""

    image: int
    question: str


def answers(loaded: LoadedModel, gallery: Gallery, questions: Sequence[Asked], settings: DecodingSettings, *,
            batch_size: int = 64, advance: Advance = lambda number: None) -> list[Answer]:
    """Answers in the order of the questions.

    Args:
        loaded: the model, in the template it is to be asked in.
        gallery: the images.
        questions: whatever is asked of them.
        settings: how answers are chosen.
        batch_size: questions per batch.
        advance: called after each batch.
    """
    engine, found = Engine(loaded), list[Answer]()
    for first in range(0, len(questions), batch_size):
        batch = questions[first : first + batch_size]
        found += engine.answer_batch([_prompt(loaded, gallery, asked) for asked in batch], settings)
        advance(len(batch))
    return found


def _prompt(loaded: LoadedModel, gallery: Gallery, asked: Asked) -> Prompt:
    turns = loaded.renderer.chat.question(asked.question, 1)
    rendered = loaded.renderer.render_prompt(Conversation(turns, (gallery.images[asked.image],)))
    return embed_prompt(loaded.model, rendered, gallery.tokens[asked.image : asked.image + 1], [str(asked.image)])
