"""Folders and files of another kind: one sentence that says what it is and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt4.common.errors import UserError
from minigpt4.inference.load import load_model
from minigpt4.models.language_models.causal_lm import CausalLMConfig, transformers_config
from minigpt4.weights.files.readers import open_weights
from tests import tiny

KINDS: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "chatglm"}, "transformers has no class chatglm; such a model needs model code of its own"),
    ({"model_type": "baichuan", "auto_map": {"AutoModel": "x.Y"}}, r"model code of its own \(auto_map\)"),
    ({"model_type": "llava_llama", "architectures": ["LlavaLlamaForCausalLM"], "mm_vision_tower": "clip"},
     r"whole LLaVA-like model \(LlavaLlamaForCausalLM: .*give the language model that it was trained from"),
    ({"model_type": "mgm", "mm_projector_type": "mlp2x_gelu"}, r"whole LLaVA-like model \(mgm"),
    ({"model_type": "vipllava", "architectures": ["VipLlavaForConditionalGeneration"], "vision_config": {}},
     r"whole vision-language model \(VipLlavaForConditionalGeneration\)"),
    ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
     r"T5ForConditionalGeneration \(an encoder-decoder\), not to a causal language model"),
    ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "BertForMaskedLM, not to a causal language model"),
    ({"model_type": "clip", "architectures": ["CLIPModel"], "vision_config": {}}, r"vision encoder \(CLIPModel\)"),
    ({"model_type": "siglip_vision_model"}, r"vision encoder \(siglip_vision_model\)"),
    ({"model_type": "llama", "quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised by gptq"),
    ({"model_type": "llama", "quantization_config": {"quant_method": "awq"}}, "quantised by awq"),
    ({"model_type": "llamaa"}, "the nearest name that it knows is llama"),
]


@pytest.mark.parametrize(("values", "sentence"), KINDS)
def test_a_config_json_of_another_kind(values: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    """Told before the tokenizer is asked for, which such a folder often has not."""
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=rf"^{tmp_path}/config.json: .*{sentence}"):
        tiny.model(llm=CausalLMConfig(weights=str(tmp_path)))


@pytest.mark.parametrize("values", [
    {"model_type": "phi3", "auto_map": {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}, "pad_token_id": 0},
    {"model_type": "LLaMA", "architectures": ["LLaMAForCausalLM"]},
    {"hidden_size": 64},
])
def test_what_transformers_has_a_class_for_is_taken(values: dict[str, Any]) -> None:
    assert transformers_config({**values, "vocab_size": 40}).vocab_size == 40


@pytest.mark.parametrize(("files", "sentence"), [
    (("adapter_config.json", "adapter_model.safetensors"), "contains a peft adapter .*merge_and_unload"),
    (("preprocessor_config.json",), "the settings of an image processor"),
    (("vicuna.Q4_K_M.gguf",), "llama.cpp"),
])
def test_a_folder_of_another_kind(files: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=sentence):
        tiny.model(llm=CausalLMConfig(weights=str(tmp_path)))


def test_an_adapter_where_a_bundle_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="contains a peft adapter"):
        load_model(tmp_path)


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 13476835328\n"


@pytest.mark.parametrize(("content", "sentence"), [
    (POINTER, "is a git-lfs pointer .* git lfs pull"),
    ("\n<!DOCTYPE html><title>Google Drive - Virus scan warning</title>", "is a web page"),
    ("GGUF\x03\x00\x00\x00", r"llama.cpp \(GGUF\)"),
])
@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.pth"])
def test_a_file_of_another_kind(content: str, sentence: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content * 3)
    with pytest.raises(UserError, match=rf"^{tmp_path}/{name}: .*{sentence}"):
        open_weights(tmp_path / name)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"0")


def _other_size(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"[2,3]", b"[2,4]"))


def _overlap(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"[24,48]", b"[0,24]" + b" "))


def _other_dtype(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"F99"', 1))


@pytest.mark.parametrize(("damage", "sentence"), [
    (_cut, "cut off"), (_longer, "its header describes"), (_other_size, "has 24 bytes"),
    (_overlap, "does not begin where"), (_other_dtype, "unknown dtype F99"),
])
def test_a_safetensors_file_whose_header_is_not_of_its_bytes(damage: Callable[[Path], None], sentence: str,
                                                             tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    save_file({"a": torch.randn(2, 3), "b": torch.randn(2, 3)}, path)
    assert open_weights(path).shapes == {"a": (2, 3), "b": (2, 3)}
    damage(path)
    with pytest.raises(UserError, match=sentence):
        open_weights(path)
