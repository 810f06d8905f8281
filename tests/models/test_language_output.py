"""What a causal LM gives beside logits: the load-balancing loss of its routers, and the scale of its embeddings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from minigpt4.common.errors import UserError
from minigpt4.models.language_models.causal_lm import CausalLM, transformers_config

SIZES = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64}
EXPERTS = {"model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
           "head_dim": 8, "router_aux_loss_coef": 0.5}


def language_model(**values: Any) -> CausalLM:
    torch.manual_seed(0)
    return CausalLM(transformers_config({**SIZES, **values}))


def inputs(llm: CausalLM) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.arange(12).reshape(2, 6)
    return llm.embed(ids), torch.ones_like(ids)


def test_the_routers_loss_comes_beside_the_logits_while_training() -> None:
    llm = language_model(**EXPERTS)
    llm.balance_experts(0.25)
    said = llm(*inputs(llm))
    expected = llm.model(inputs_embeds=inputs(llm)[0], attention_mask=inputs(llm)[1], output_router_logits=True)
    torch.testing.assert_close(said.auxiliary["router"], 0.25 * expected.aux_loss)
    said.auxiliary["router"].backward()
    gates = [value.grad for name, value in llm.named_parameters() if name.endswith("mlp.gate.weight")]
    assert len(gates) == 2 and all(grad is not None and grad.abs().sum() > 0 for grad in gates)
    with torch.no_grad():
        assert llm(*inputs(llm)).auxiliary == {}


def test_without_a_weight_there_is_none() -> None:
    llm = language_model(**EXPERTS)
    assert llm(*inputs(llm)).auxiliary == {}


def test_a_language_model_without_experts_is_told() -> None:
    with pytest.raises(UserError, match="model.llm.router_loss: is 0.1, but a llama has no experts"):
        language_model(model_type="llama").balance_experts(0.1)


@pytest.mark.parametrize("weight", [-1, float("inf"), float("nan")])
def test_a_weight_that_is_none_is_told(weight: float) -> None:
    with pytest.raises(UserError, match=f"model.llm.router_loss: is {weight}; use 0"):
        language_model(**EXPERTS).balance_experts(weight)


def test_only_the_wanted_columns_have_logits() -> None:
    llm = language_model(model_type="llama")
    embeddings, mask = inputs(llm)
    some, every = llm(embeddings, mask, torch.tensor([1, 4])).logits, llm(embeddings, mask).logits
    torch.testing.assert_close(some, every[:, [1, 4]])


def test_gemmas_embeddings_are_scaled_by_the_root_of_the_width() -> None:
    assert language_model(model_type="llama").embedding_scale == 1
    gemma = language_model(model_type="gemma", head_dim=8)
    assert gemma.embedding_scale == 4
    weight = gemma.model.get_input_embeddings().weight
    torch.testing.assert_close(gemma.embed(torch.tensor([[3]]))[0, 0], weight[3] * 4)
    assert gemma.to(torch.bfloat16).embedding_scale == 4
