"""4 bit on every CPU: only sizes that AVX512-BF16 can lay out anew are quantised, and nothing lays them out anew."""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.inference.load import Assistant, load_model
from minigpt4.models.language_models.causal_lm import CausalLM, transformers_config
from minigpt4.models.language_models.quantized import (
    CHATTER,
    fits,
    hide_chatter,
    import_bitsandbytes,
    is_quantized,
    quantize_linear_layers,
)
from tests import tiny

ODD = {**tiny.config().llm.random, "hidden_size": 64, "intermediate_size": 96}
"""[96, 64] can be in 4 bit, [64, 96] cannot"""


def quantised_layers(model: nn.Module) -> dict[str, Any]:
    return {name: layer for name, layer in model.named_modules() if is_quantized(layer)}


def odd_model(kind: str = "nf4") -> LoadedModel:
    return tiny.model(llm=replace(tiny.config().llm, random=ODD, freeze=True, quantize=kind))


@pytest.mark.parametrize(("rows", "columns", "whether"), [
    (32, 64, True), (96, 64, True), (64, 128, True), (11008, 4096, True), (1000, 1024, False),
    (64, 96, False), (48, 64, False), (16, 64, False), (32, 32, False), (128, 352, False),
])
def test_which_sizes_can_be_in_4_bit(rows: int, columns: int, whether: bool) -> None:
    layer = nn.Linear(columns, rows, device="meta")
    assert fits(layer, "nf4") is whether and fits(layer, "int8")


@pytest.mark.parametrize(("rows", "columns"), [(32, 64), (96, 64), (64, 192)])
def test_what_fits_can_be_laid_out_anew_by_bitsandbytes(rows: int, columns: int) -> None:
    """Its own functions, which it calls on CPUs with AVX512-BF16 alone, called here: the codes survive both ways."""
    layer, state = nf4_layer(rows, columns)
    from bitsandbytes.functional import _convert_weight_packed_for_cpu, _convert_weight_packed_for_cpu_inverse

    packed, state = _convert_weight_packed_for_cpu(layer.weight.data.clone(), state)
    assert not torch.equal(packed.reshape(-1), layer.weight.data.reshape(-1)) and state.packing_format_for_cpu
    back, _ = _convert_weight_packed_for_cpu_inverse(packed, state)
    assert torch.equal(back, layer.weight.data)


@pytest.mark.parametrize(("rows", "columns"), [(48, 64), (32, 96), (16, 64)])
def test_what_does_not_fit_cannot(rows: int, columns: int) -> None:
    from bitsandbytes.functional import _convert_weight_packed_for_cpu

    layer, state = nf4_layer(rows, columns)
    with pytest.raises((AssertionError, RuntimeError), match="divisible by block_n|invalid for input of size"):
        _convert_weight_packed_for_cpu(layer.weight.data, state)


def nf4_layer(rows: int, columns: int) -> tuple[Any, Any]:
    layer = import_bitsandbytes().nn.Linear4bit(columns, rows, bias=False, quant_type="nf4").to("cpu")
    layer.weight.data = layer.weight.to("cpu").data
    return layer, deepcopy(layer.weight.quant_state)


def test_every_layer_in_4_bit_fits_and_the_report_tells_the_others() -> None:
    loaded = odd_model()
    layers = quantised_layers(loaded.model)
    assert layers and all(layer.out_features % 32 == layer.in_features % 64 == 0 for layer in layers.values())
    whole = {name.rpartition(".")[2] for name, layer in loaded.model.llm.model.model.named_modules()
             if isinstance(layer, nn.Linear) and not is_quantized(layer)}
    assert whole == {"down_proj"}
    assert [line for line in loaded.load_report if line == (
        "llm: 12 linear layers in nf4 by bitsandbytes; left whole: 2 down_proj [64, 96] "
        "(4 bit takes multiples of 32 rows and 64 columns)")]
    assert "llm: 14 linear layers in int8 by bitsandbytes" in odd_model("int8").load_report


def test_the_embedded_default_chats_in_4_bit(project: Path) -> None:
    loaded = load_model(project / "eval_configs" / "minigpt4_scenes.yaml",
                        options=["model.llm.quantize=nf4", "model.ckpt=null"])
    assert len(quantised_layers(loaded.model)) == 6 * 4
    assert any("left whole: 4 down_proj [128, 352]" in line for line in loaded.load_report)
    assert Assistant(loaded).chat(tiny.image(1), "what is this", max_new_tokens=4) is not None


@pytest.fixture
def avx512_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """bitsandbytes believes to be on a CPU that has the instruction."""
    import bitsandbytes.nn.modules

    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)


def test_an_evaluation_leaves_the_weights_as_they_are(avx512_bf16: None) -> None:
    """Laid out anew they would pass no gradient back, and their bytes and scales would be others."""
    model = odd_model().model.llm.eval()
    layers = quantised_layers(model)
    before = {name: layer.weight.data.clone() for name, layer in layers.items()}
    embeddings = model.embed(torch.tensor([[3, 5, 7]]))
    with torch.no_grad():
        evaluated = model.model(inputs_embeds=embeddings).logits
    assert all(torch.equal(layer.weight.data, before[name]) for name, layer in layers.items())
    trained = embeddings.clone().requires_grad_()
    logits = model.model(inputs_embeds=trained).logits
    logits.sum().backward()
    torch.testing.assert_close(logits.detach(), evaluated, rtol=1e-5, atol=1e-5)
    assert trained.grad is not None and trained.grad.abs().sum() > 0


def test_odd_sizes_chat_on_such_a_cpu(avx512_bf16: None) -> None:
    assert isinstance(Assistant(odd_model()).chat(tiny.image(1), "what is this", max_new_tokens=4), str)


def test_without_linear_layers_it_is_refused() -> None:
    sizes = {"model_type": "gpt2", "vocab_size": 40, "n_embd": 64, "n_layer": 1, "n_head": 2}
    model = CausalLM(transformers_config(sizes), empty=True).model
    with pytest.raises(UserError, match="GPT2LMHeadModel has no linear layers"):
        quantize_linear_layers(model, "nf4", torch.float32)


def test_two_messages_are_hidden_and_no_logger(caplog: pytest.LogCaptureFixture) -> None:
    hide_chatter()
    hide_chatter()
    for name, beginning in CHATTER.items():
        logger = logging.getLogger(name)
        logger.warning(beginning + ": no module named kernels. Please install it")
        logger.warning("something else about %s", name)
        assert logger.isEnabledFor(logging.WARNING) and len(logger.filters) == 1
    assert [record.name for record in caplog.records] == list(CHATTER)
    assert all("something else" in record.message for record in caplog.records)
