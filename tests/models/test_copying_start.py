"""Initial weights by which attention finds equal words from the first step."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from minigpt4.models.language_models.copying_start import start_copying


def test_a_word_attends_to_its_twin() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, attn_implementation="eager", **sizes))
    ids = torch.tensor([[7, 8, 9, 10, 11, 9]])
    usual = model(ids, output_attentions=True).attentions[0][0, :, 5, 2]
    start_copying(model)
    copying = model(ids, output_attentions=True).attentions[0][0, :, 5, 2]
    assert (usual < 0.25).all() and (copying > 0.3).all()
