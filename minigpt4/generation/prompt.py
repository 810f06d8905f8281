"""A rendered conversation with its image tokens: what the token loop starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from minigpt4.common.errors import UserError
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.records.batches import Rendered

Key: TypeAlias = int | tuple[str, int]
"""a position of the cache: the token id, or (image digest, number of the image token)"""


@dataclass(frozen=True)
class Prompt:
    """Embeddings [L, D] of a prompt, and the key of each position."""

    embeddings: Tensor
    keys: tuple[Key, ...]

    def __len__(self) -> int:
        return len(self.keys)


def embed_prompt(model: VisionLanguageModel, rendered: Rendered, image_tokens: Tensor | None,
                 digests: Sequence[str]) -> Prompt:
    """Embed one rendered conversation.

    Args:
        model: embeds ids and places image tokens.
        rendered: ids and slots.
        image_tokens: [images, tokens, D] in the order of the conversation.
        digests: content of each image, so that two images with equal ids are not the same prefix.
    """
    assert rendered.num_images == len(digests), f"{rendered.num_images} images rendered, {len(digests)} given"
    ids = torch.tensor([rendered.ids], device=model.device)
    slots = torch.tensor([rendered.slots], device=model.device)
    with torch.no_grad():
        embeddings = model.embed(ids, slots, image_tokens)[0]
    places = [(digest, number) for digest, length in zip(digests, rendered.image_lengths, strict=True)
              for number in range(length)]
    keys: list[Key] = [number if slot < 0 else places[slot]
                       for number, slot in zip(rendered.ids, rendered.slots, strict=True)]
    return Prompt(embeddings, tuple(keys))


def cut_from_left(prompt: Prompt, max_new_tokens: int, max_context: int) -> Prompt:
    """The newest positions that leave room for the answer, as the originals cut."""
    first = max(0, len(prompt) + max_new_tokens - max_context)
    return Prompt(prompt.embeddings[first:], prompt.keys[first:])


def refuse_too_long(positions: int, max_new_tokens: int, max_context: int) -> None:
    """Raise `UserError` where prompt and answer do not fit; dropping the beginning would drop the image."""
    if positions + max_new_tokens > max_context:
        raise UserError(
            "chat.too_long",
            what=f"the conversation takes {positions} positions and the answer up to {max_new_tokens}, "
            f"the language model has {max_context}",
            fix="start a new conversation or ask for fewer tokens",
        )
