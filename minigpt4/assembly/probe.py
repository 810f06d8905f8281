"""One image of noise and a few random ids, always the same: input on which two forms of a model are compared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.records.batches import PIXELS

TEXT_TOKENS = 8
"""random ids that follow the image"""


@dataclass(frozen=True)
class Probe:
    """pixel_values [1, 3, S, S] (S = 0 for a text-only model), input_ids and slots [1, L]."""

    pixel_values: Tensor
    input_ids: Tensor
    slots: Tensor

    def with_place_holder(self, image_token_id: int) -> Tensor:
        """ids [1, L] with this id wherever an image token belongs."""
        return torch.where(self.slots >= 0, image_token_id, self.input_ids)


def probe_of(loaded: LoadedModel, *, without: int = -1) -> Probe:
    """The probe that fits a model.

    Args:
        loaded: gives sizes.
        without: an id that the text must not hold, such as a placeholder.
    """
    draw = torch.Generator().manual_seed(0)
    tokens = loaded.renderer.tokens_per_image
    size = 0 if loaded.image_spec is None else loaded.image_spec.size
    pixels = torch.randn(1, 3, size, size, generator=draw)
    ids = torch.randint(loaded.vocab_size, (1, tokens + TEXT_TOKENS), generator=draw)
    ids = ids.masked_fill(ids == without, 0 if without else 1)  # another id
    slots = torch.full_like(ids, -1)
    slots[0, :tokens] = torch.arange(tokens)
    return Probe(pixels, ids, slots)


@torch.no_grad()
def logits_of(model: VisionLanguageModel, probe: Probe) -> Tensor:
    """Logits [1, L, V] in float32."""
    tokens = model.encode_images({PIXELS: probe.pixel_values}) if model.visual_path is not None else None
    embeddings = model.embed(probe.input_ids, probe.slots, tokens)
    logits: Tensor = model.llm.model(inputs_embeds=embeddings, use_cache=False).logits
    return logits.float()


def probed_logits(loaded: LoadedModel) -> Tensor:
    """Logits [1, L, V] of a model on its own probe."""
    return logits_of(loaded.model, probe_of(loaded))


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, in units of the largest logit where that is above 1."""
    return float((ours - theirs).abs().max()) / max(1.0, float(ours.abs().max()))
