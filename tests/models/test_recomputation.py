"""`model.llm.activation_checkpointing`: the same gradient from fewer kept activations."""

from __future__ import annotations

import torch
from torch.autograd.graph import saved_tensors_hooks

from minigpt4.models.language_models.causal_lm import CausalLM
from tests import tiny


def kept_and_gradient(llm: CausalLM) -> tuple[int, torch.Tensor]:
    """Bytes that autograd keeps in a forward pass, and the gradient of the embeddings."""
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    embeddings = torch.linspace(-1, 1, 8 * llm.width).reshape(1, 8, -1).requires_grad_()
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        total = llm.model(inputs_embeds=embeddings, use_cache=False).logits.square().sum()
    total.backward()
    assert embeddings.grad is not None
    return kept, embeddings.grad


def test_a_frozen_language_model_keeps_less_and_gives_the_same_gradient() -> None:
    llm = tiny.model().model.llm
    llm.requires_grad_(False).eval()
    kept, gradient = kept_and_gradient(llm)
    llm.recompute_activations(during_training=True)
    kept_now, same = kept_and_gradient(llm)
    assert torch.equal(gradient, same) and kept_now < 0.6 * kept
    assert not llm.model.training and not any(layer.self_attn.training for layer in llm.model.model.layers)
    llm.recompute_activations(during_training=False)
    assert kept_and_gradient(llm)[0] == kept
