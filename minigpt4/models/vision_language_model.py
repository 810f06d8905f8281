"""A visual path and a causal language model: image tokens take their places, the language model continues.

B samples, L positions, N images, R image tokens of the whole batch end to end, D width of the LLM, V its vocabulary.
Source: docs/originals/minigpt4.md#sequence; the slots are our own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.models.freezing import is_frozen
from minigpt4.models.language_models.causal_lm import CausalLM
from minigpt4.models.visual_path import VisualPath
from minigpt4.records.batches import IGNORED_LABEL, Batch, Output


class VisionLanguageModel(nn.Module):
    """Images become tokens, tokens take their places in a conversation, a language model continues from there.

    Args:
        visual_path: pixels to tokens; None for a text-only model.
        llm: the language model.
    """

    def __init__(self, visual_path: VisualPath | None, llm: CausalLM) -> None:
        super().__init__()
        self.visual_path = visual_path
        self.llm = llm

    def parts(self) -> dict[str, nn.Module]:
        """The parts by name, in the order of the data: stages of the visual path, then `llm`."""
        stages = {} if self.visual_path is None else dict(self.visual_path.stages.items())
        return {**stages, "llm": self.llm}

    def train(self, mode: bool = True) -> VisionLanguageModel:
        """Training mode for parts that train; frozen parts stay in eval mode, so their dropout stays off."""
        super().train(mode)
        for part in self.parts().values():
            if is_frozen(part):
                part.eval()
        if self.llm.can_recompute:
            self.llm.recompute_activations(mode)
        return self

    @property
    def device(self) -> torch.device:
        """Where embeddings live; image tokens follow them."""
        return self.llm.device

    def encode_images(self, images: Mapping[str, Tensor]) -> Tensor:
        """`pixel_values` [N, 3, S, S], or stored values of frozen stages -> image tokens [N, tokens, D]."""
        assert self.visual_path is not None, "a text-only model has no images"
        tokens: Tensor = self.visual_path(images)
        wanted = (self.visual_path.tokens_per_image, self.llm.width)
        if tokens.dim() != 3 or tuple(tokens.shape[1:]) != wanted:
            raise UserError("model.image_tokens", where=f"visual path, '{self.visual_path.last}'",
                            what=f"makes image tokens {list(tokens.shape)}, the language model takes "
                            f"[images, {wanted[0]}, {wanted[1]}]",
                            fix="let the last stage give out_tokens tokens of the language model's width")
        return tokens

    def embed(self, input_ids: Tensor, slots: Tensor, image_tokens: Tensor | None) -> Tensor:
        """ids [B, L] or [T], slots alike, image tokens [N, tokens, D] (or [R, D]) -> embeddings [B, L, D] or [T, D]."""
        text = self.llm.embed(input_ids.masked_fill(slots >= 0, 0))
        if image_tokens is None:
            return text
        rows = image_tokens.reshape(-1, image_tokens.shape[-1]).to(text.device, text.dtype) * self.llm.embedding_scale
        placed = rows.index_select(0, slots.clamp(min=0).flatten()).view_as(text)  # no place is read from the device
        return torch.where((slots >= 0).unsqueeze(-1), placed, text)

    def forward(self, batch: Batch, image_tokens: Tensor | None = None) -> Output:
        """Summed cross-entropy of the supervised tokens; logits are made only at positions that predict one.

        All samples stand in one row; padded they are where the language model needs that.

        Args:
            image_tokens: [N, tokens, D] of the batch's images, where they are at hand; None = made from `images`.
        """
        num_tokens = batch.num_supervised
        if num_tokens == 0:
            return Output(torch.zeros((), device=self.device), 0)
        if not self.llm.takes_one_row:
            return self.in_padded_rows(batch, image_tokens)
        if image_tokens is None and batch.num_images:
            image_tokens = self.encode_images(batch.images)
        row = batch.row
        embeddings = self.embed(row.input_ids, row.slots, image_tokens)
        return Output(self.llm.summed_loss(embeddings, row), num_tokens)

    def in_padded_rows(self, batch: Batch, image_tokens: Tensor | None = None) -> Output:
        """The same of padded rows, with logits at every column that is learned in any row."""
        if image_tokens is None and batch.num_images:
            image_tokens = self.encode_images(batch.images)
        embeddings = self.embed(batch.input_ids, batch.slots, image_tokens)
        targets = batch.labels[:, 1:]
        positions = (targets != IGNORED_LABEL).any(dim=0).nonzero().squeeze(1)
        said = self.llm(embeddings, batch.attention_mask, positions)  # the same positions of every row
        chosen = targets[:, positions]
        loss_sum = F.cross_entropy(
            said.logits.reshape(-1, said.logits.shape[-1]).float(),
            chosen.reshape(-1),
            ignore_index=IGNORED_LABEL,
            reduction="sum",
        )
        return Output(loss_sum, batch.num_supervised, said.auxiliary)
