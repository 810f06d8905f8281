"""Layers of the language model spread by `device_map`: without a GPU, between host memory and disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.chat import Chat
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.language_models.placement import device_of
from minigpt4.models.lora import LoraConfig
from tests import tiny

CPU = torch.device("cpu")


def model(folder: Path, **llm: Any) -> LoadedModel:
    return tiny.model(llm=CausalLMConfig(weights=str(folder), tokenizer=str(tiny.tokenizer_folder()), **llm))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("llm")
    tiny.model().model.llm.model.save_pretrained(target)
    return target


def most_of(folder: Path) -> dict[str, Any]:
    size = (folder / "model.safetensors").stat().st_size
    return {"device_map": "auto", "max_memory": {"cpu": 3 * size // 4, "disk": "1GiB"}}


def test_u12_layers_that_do_not_fit_are_fetched_for_their_turn(folder: Path, tmp_path: Path) -> None:
    """Same logits and answer, image tokens included; float32, bit for bit."""
    plain, spread = model(folder), model(folder, offload_folder=str(tmp_path), **most_of(folder))
    places = spread.model.llm.model.hf_device_map
    assert set(places.values()) == {"cpu", "disk"} and spread.model.device == CPU
    assert any(parameter.is_meta for parameter in spread.model.llm.parameters())
    answers = [Chat(each, DecodingSettings(max_new_tokens=6)).answer("what?", [tiny.image(1)])
               for each in (plain, spread)]
    assert answers[0] == answers[1]
    with torch.no_grad():
        embeddings = torch.randn(2, 5, plain.model.llm.width)
        logits = [each.model.llm.model(inputs_embeds=embeddings).logits for each in (plain, spread)]
    assert torch.equal(*logits)
    assert "on disk" in "\n".join(spread.load_report)


def test_gradients_pass_through_fetched_layers(folder: Path, tmp_path: Path) -> None:
    plain, spread = model(folder), model(folder, offload_folder=str(tmp_path), **most_of(folder))
    gradients = []
    for each in (plain, spread):
        embeddings = torch.linspace(-1, 1, 3 * each.model.llm.width).reshape(1, 3, -1).requires_grad_()
        each.model.llm.model(inputs_embeds=embeddings, use_cache=False).logits.square().sum().backward()
        gradients.append(embeddings.grad)
    assert torch.equal(*gradients)


def test_layers_without_a_place_are_an_error_with_the_remedy(folder: Path) -> None:
    with pytest.raises(UserError, match=r"fit on no device.*give model.llm.offload_folder=DIR"):
        model(folder, **most_of(folder))


@pytest.mark.parametrize(("memory", "words"), [({"gpu": "1GiB"}, "names 'gpu'; use the numbers of GPUs, cpu and disk"),
                                               ({"cpu": "much"}, r"max_memory.cpu: is 'much'; write bytes, or 10GiB")])
def test_limits_that_say_nothing(folder: Path, memory: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        model(folder, device_map="auto", max_memory=memory)


def test_only_frozen_layers_are_spread() -> None:
    with pytest.raises(UserError, match="only frozen layers are spread, and LoRA trains on it"):
        CausalLMConfig(device_map="auto", lora=LoraConfig(r=4))
    with pytest.raises(UserError, match="only frozen layers are spread, and the language model trains"):
        CausalLMConfig(device_map="auto", freeze=False)


def test_a_tensor_goes_where_its_module_goes() -> None:
    places = {"model.embed_tokens": 0, "model.layers.1": 1, "model.layers.10": "disk", "lm_head": "cpu"}
    assert device_of(places, "model.layers.1.self_attn.q_proj.weight") == torch.device("cuda", 1)
    assert device_of(places, "model.layers.10.mlp.up_proj.weight") == CPU
    assert device_of(places, "model.embed_tokens.weight") == torch.device("cuda", 0)
    assert device_of({"": 1}, "lm_head.weight") == torch.device("cuda", 1)
