"""A language model that a bundle holds itself, read in 8 or 4 bit; and one in 4 bit that was trained with adapters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minigpt4.assembly.build import build_model
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.probe import probed_logits
from minigpt4.common.errors import UserError
from minigpt4.inference.load import Assistant, load_model
from minigpt4.models.language_models.quantized import Quantization, is_quantized
from minigpt4.models.lora import LoraConfig
from minigpt4.runners.start.setup import LoadedBundle
from minigpt4.weights.inspection import verify_weights
from tests import tiny
from tests.weights.test_bundle import save

CPU = torch.device("cpu")
WIDE = {**tiny.config().llm.random, "hidden_size": 64, "intermediate_size": 128}
KINDS = pytest.mark.parametrize("kind", ["int8", "nf4"])


def small(kind: Quantization) -> list[str]:
    return [f"model.llm.quantize={kind}", "model.llm.freeze=True"]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A bundle whose language model trained."""
    return save(tiny.model(seed=2, llm=replace(tiny.config().llm, random=WIDE)), tmp_path / "trained")


def llm_tensors(bundle: Path) -> dict[str, torch.Tensor]:
    return {name: value for name, value in load_file(bundle / "model.safetensors").items() if name.startswith("llm.")}


@KINDS
def test_it_chats_in_few_bits(kind: Quantization, trained: Path) -> None:
    full, loaded = load_model(trained), load_model(trained, options=small(kind))
    assert sum(is_quantized(layer) for layer in loaded.model.modules()) == 2 * 7
    one, other = probed_logits(full).flatten(), probed_logits(loaded).flatten()
    assert torch.nn.functional.cosine_similarity(one, other, dim=0) > (0.99 if kind == "int8" else 0.8)
    assert Assistant(loaded).chat(tiny.image(1), "what is this", max_new_tokens=4)


def test_it_is_told_how_where_it_would_train(trained: Path) -> None:
    with pytest.raises(UserError, match="set model.llm.freeze=True"):
        load_model(trained, options=["model.llm.quantize=int8"])


@KINDS
def test_the_next_bundle_holds_it_whole(kind: Quantization, trained: Path, tmp_path: Path) -> None:
    loaded = load_model(trained, options=small(kind))
    again = save(loaded, tmp_path / "again")
    before, after = llm_tensors(trained), llm_tensors(again)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(probed_logits(load_model(again)), probed_logits(loaded))
    assert verify_weights(again)


def test_weights_that_are_in_no_file_are_not_stored_in_few_bits(tmp_path: Path) -> None:
    loaded = tiny.model(llm=replace(tiny.config().llm, random=WIDE, freeze=True, quantize="int8"))
    with pytest.raises(UserError, match="model.llm.quantize: is set for weights that are in no file"):
        save(loaded, tmp_path / "bundle")


def language_model_folder(folder: Path) -> Path:
    full = tiny.model(seed=8, llm=replace(tiny.config().llm, random=WIDE))
    full.model.llm.model.save_pretrained(folder)
    for file in tiny.tokenizer_folder().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def with_adapters(kind: Quantization, **values: object) -> LoadedModel:
    llm = replace(tiny.config().llm, random={}, freeze=True, quantize=kind, lora=LoraConfig(r=2, alpha=4), **values)
    loaded = build_model(tiny.config(llm=llm), device=CPU)
    draw = torch.Generator().manual_seed(1)
    for name, value in loaded.model.named_parameters():
        if "lora_B" in name:
            value.data = 0.1 * torch.randn(value.shape, generator=draw)
    return loaded


@KINDS
def test_qlora_comes_back(kind: Quantization, tmp_path: Path) -> None:
    loaded = with_adapters(kind, weights=str(language_model_folder(tmp_path / "llm")), tokenizer=None)
    bundle = save(loaded, tmp_path / "bundle")
    assert not llm_tensors(bundle), "the base is named, not stored"
    again = load_model(bundle)
    assert torch.equal(probed_logits(again), probed_logits(loaded))
    assert sum(is_quantized(layer) for layer in again.model.modules()) == 2 * 7


@KINDS
def test_qlora_on_a_language_model_that_a_bundle_holds(kind: Quantization, trained: Path, tmp_path: Path) -> None:
    llm = replace(tiny.config().llm, freeze=True, quantize=kind, lora=LoraConfig(r=2, alpha=4), random=WIDE)
    loaded = build_model(tiny.config(llm=llm, ckpt=str(trained)), device=CPU)
    for name, value in loaded.model.named_parameters():
        if "lora_B" in name:
            value.data = torch.full_like(value, 0.05)
    bundle = save(loaded, tmp_path / "bundle")
    assert torch.equal(probed_logits(load_model(bundle)), probed_logits(loaded))
    assert llm_tensors(bundle).keys() == llm_tensors(trained).keys()


@KINDS
def test_resume_of_qlora_on_a_language_model_that_a_bundle_holds(kind: Quantization, trained: Path, tmp_path: Path
                                                                 ) -> None:
    llm = replace(tiny.config().llm, freeze=True, quantize=kind, lora=LoraConfig(r=2, alpha=4), random=WIDE)
    loaded, fresh = (build_model(tiny.config(llm=llm, ckpt=str(trained)), device=CPU) for _ in range(2))
    for name, value in loaded.model.named_parameters():
        if "lora_B" in name or "connector" in name:
            value.data = value + 0.05
    LoadedBundle(fresh, "", "").restore(save(loaded, tmp_path / "checkpoint"))
    assert torch.equal(probed_logits(fresh), probed_logits(loaded))


def test_it_is_read_straight_to_its_place(trained: Path) -> None:
    """Never whole in memory first: layers are exchanged while they are empty, which the report tells."""
    loaded = load_model(trained, options=small("int8"))
    assert [line for line in loaded.load_report if "14 linear layers in int8" in line]


def test_tied_embeddings_stay_tied(tmp_path: Path) -> None:
    llm = replace(tiny.config().llm, random={**WIDE, "tie_word_embeddings": True})
    loaded = tiny.model(llm=llm)
    again = load_model(save(loaded, tmp_path / "bundle"))
    table = again.model.llm.model.get_input_embeddings().weight
    assert again.model.llm.model.get_output_embeddings().weight is table and table.requires_grad
    assert torch.equal(probed_logits(again), probed_logits(loaded))


def test_one_that_is_spread_over_memory_and_disk(trained: Path, tmp_path: Path) -> None:
    size = sum(value.numel() * 4 for value in llm_tensors(trained).values())
    spread_out = ["model.llm.freeze=True", "model.llm.device_map=auto", f"model.llm.offload_folder={tmp_path}",
                  f"model.llm.max_memory={{cpu: {3 * size // 4}, disk: 1GiB}}"]
    loaded = load_model(trained, options=spread_out)
    assert any(parameter.is_meta for parameter in loaded.model.llm.parameters())
    assert torch.equal(probed_logits(loaded), probed_logits(load_model(trained)))
    again = save(loaded, tmp_path / "again")
    before, after = llm_tensors(trained), llm_tensors(again)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    LoadedBundle(loaded, "", "").restore(again)
    assert torch.equal(probed_logits(loaded), probed_logits(load_model(trained)))
