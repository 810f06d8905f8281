"""LoRA on every part: no effect at the start, gradients in adapters and projection alone, the same from a bundle."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt4.assembly.build import build_model
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import load_config
from minigpt4.common.errors import UserError
from minigpt4.conversation.batching import pad
from minigpt4.inference.load import Assistant, load_model
from minigpt4.models.language_models.quantized import is_quantized
from minigpt4.models.lora import LoraConfig, adapter_state, base_state, is_adapter
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.records.batches import Batch
from minigpt4.records.conversations import caption_conversation
from minigpt4.records.images import ImageRef
from minigpt4.runners.start.setup import LoadedBundle
from tests import tiny

CPU = torch.device("cpu")
LORA = LoraConfig(r=2, alpha=4)
LAYERS = {"vision": {"qkv"}, "resampler": {"query", "value"}, "llm": {"q_proj", "v_proj"}}


def config(lora: LoraConfig = LORA, **values: Any) -> Any:
    """Three frozen parts, each with adapters, and a projection that trains."""
    plain = tiny.config()
    vision = EvaVitConfig(image_size=16, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                          intermediate_size=16, initializer_range=0.3, lora=lora)
    return replace(plain, vision=vision, resampler=replace(plain.resampler, freeze=True, lora=lora),
                   llm=replace(plain.llm, freeze=True, lora=lora), **values)


def model(lora: LoraConfig = LORA, **values: Any) -> LoadedModel:
    return build_model(config(lora, **values), device=CPU, seed=3)


def batch(loaded: LoadedModel) -> Batch:
    rows = [loaded.renderer.render(caption_conversation(ImageRef(data=b"x"), text)) for text in ("a red rose", "world")]
    made = pad(rows, pad_token_id=0)
    made.images = {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))}
    return made


def loss(loaded: LoadedModel) -> torch.Tensor:
    return loaded.model(batch(loaded)).loss_sum


def train(loaded: LoadedModel, steps: int = 3) -> list[float]:
    """A few steps of whatever trains; returns the losses."""
    loaded.model.train()
    optimizer = torch.optim.AdamW([p for p in loaded.model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        value = loss(loaded)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    loaded.model.train(False)
    return losses


def save(loaded: LoadedModel, folder: Path) -> Path:
    folder.mkdir()
    loaded.save_bundle(folder, resolved_config=tiny.as_yaml(loaded.config), stage="stage 2", step=7)
    return folder


def test_adapters_begin_without_effect_on_the_usual_layers() -> None:
    with_adapters, without = model(), model(LoraConfig())
    assert torch.equal(loss(with_adapters), loss(without))
    for name, part in with_adapters.model.parts().items():
        adapted = {key.split(".")[-3] for key in adapter_state(part)}
        assert adapted == LAYERS.get(name, set())
        assert base_state(part).keys() == without.model.parts()[name].state_dict().keys()


def test_u7_an_adapter_adds_what_its_matrices_say() -> None:
    """Whatever peft is installed, W x + alpha / r * B A x, reckoned here without it; float32, 1e-6."""
    loaded = model()
    train(loaded)
    state, base = adapter_state(loaded.model.llm), base_state(loaded.model.llm)
    name = next(key for key in state if key.endswith("q_proj.lora_A.weight")).removesuffix(".lora_A.weight")
    down, up, weight = state[f"{name}.lora_A.weight"], state[f"{name}.lora_B.weight"], base[f"{name}.weight"]
    inputs = torch.randn(5, weight.shape[1], generator=torch.Generator().manual_seed(2))
    expected = inputs @ weight.T + LORA.alpha / LORA.r * (inputs @ down.T) @ up.T
    assert up.abs().max() > 1e-3
    torch.testing.assert_close(loaded.model.llm.get_submodule(name)(inputs), expected, rtol=1e-6, atol=1e-6)


def test_gradients_reach_adapters_and_projection_alone() -> None:
    loaded = model()
    before = {name: base_state(part) for name, part in loaded.model.parts().items()}
    before = {name: {key: value.clone() for key, value in state.items()} for name, state in before.items()}
    losses = train(loaded)
    assert losses[-1] < losses[0]
    moved = {name for name, part in loaded.model.parts().items()
             if any(not torch.equal(before[name][key], value) for key, value in base_state(part).items())}
    assert moved == {"connector"}
    trained = {name for name, value in loaded.model.named_parameters() if value.requires_grad}
    assert trained == {name for name, _ in loaded.model.named_parameters() if is_adapter(name) or ".connector." in name}
    assert all(loaded.model.get_parameter(name).grad is not None for name in trained)
    assert all(loaded.model.get_parameter(name).dtype is torch.float32 for name in trained)


def test_a_seed_makes_the_same_adapters() -> None:
    one, other = model(), model()
    assert all(torch.equal(value, adapter_state(other.model.llm)[key])
               for key, value in adapter_state(one.model.llm).items())


def test_a_bundle_brings_adapters_back_and_chats(tmp_path: Path) -> None:
    loaded = model()
    train(loaded)
    folder = save(loaded, tmp_path / "bundle")
    again = load_model(folder)
    assert loss(again).item() == pytest.approx(loss(loaded).item(), rel=1e-6)
    assert "LoRA" in again.describe()
    assert Assistant(again).chat(tiny.image(1), "what is this", max_new_tokens=4)
    entry = json.loads((folder / "manifest.json").read_text())["parts"]["llm"]
    assert (entry["lora"]["r"], entry["lora"]["alpha"], entry["lora"]["target_modules"]) == (2, 4, ["q_proj", "v_proj"])
    assert entry["frozen"]


def test_resume_puts_a_checkpoint_back_into_a_model_with_adapters(tmp_path: Path) -> None:
    loaded = model()
    train(loaded)
    folder = save(loaded, tmp_path / "bundle")
    fresh = model()
    LoadedBundle(fresh, "", "").restore(folder)
    assert torch.equal(loss(fresh), loss(loaded))
    assert train(fresh) == train(loaded), "and goes on the same way"


def test_a_frozen_file_below_adapters_is_named_and_not_stored(tmp_path: Path) -> None:
    from safetensors import safe_open

    base = tmp_path / "llm"
    full = tiny.model(seed=8)
    full.model.llm.model.save_pretrained(base)
    for file in tiny.tokenizer_folder().iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    wanted = config()
    loaded = build_model(replace(wanted, llm=replace(wanted.llm, weights=str(base), random={})), device=CPU)
    train(loaded)
    folder = save(loaded, tmp_path / "bundle")
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert not any(name.startswith("llm.") for name in names)
    assert "lora.llm.model.model.layers.0.self_attn.q_proj.lora_A.weight" in names
    assert loss(load_model(folder)).item() == pytest.approx(loss(loaded).item(), rel=1e-6)
    from safetensors.torch import load_file, save_file

    shard = base / "model.safetensors"
    save_file({name: value.flip(0).contiguous() for name, value in load_file(shard).items()}, shard)
    with pytest.raises(UserError, match="was trained with the llm"):
        load_model(folder)


@pytest.mark.parametrize(("lora", "words"), [(LoraConfig(), "has none"), (LoraConfig(r=3, alpha=4), "has r 3")])
def test_another_set_of_adapters_than_the_bundles_is_refused(tmp_path: Path, lora: LoraConfig, words: str) -> None:
    folder = save(model(), tmp_path / "bundle")
    with pytest.raises(UserError, match=f"has adapters on the vision of r 2, alpha 4 on qkv; this config {words}"):
        model(lora, ckpt=str(folder))


def test_a_bundle_without_adapters_gets_fresh_ones(tmp_path: Path) -> None:
    first = model(LoraConfig())
    second = model(ckpt=str(save(first, tmp_path / "stage1")))
    assert torch.equal(loss(first), loss(second))


def test_the_originals_flat_keys(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("model: {arch: minigpt4, model_type: custom, behaviour: standard, lora_r: 8, lora_alpha: 16, "
                    "lora_target_modules: [q_proj, k_proj], lora_dropout: 0.1}\n")
    lora = load_config(file, sections=("model",)).model.llm.lora
    assert lora == LoraConfig(r=8, alpha=16, target_modules=["q_proj", "k_proj"], dropout=0.1)


def test_a_name_that_fits_no_layer_is_refused() -> None:
    with pytest.raises(UserError, match="'c_attn' is not a linear layer of EvaVit.*qkv"):
        model(LoraConfig(r=2, target_modules=["c_attn"]))


def test_a_part_without_usual_layers_asks_for_names() -> None:
    plain = tiny.config()
    with pytest.raises(UserError, match="model.vision.lora.target_modules: is empty, and ConvNet has no usual ones"):
        tiny.model(vision=replace(plain.vision, freeze=True, lora=LORA))


def test_adapters_on_a_part_that_trains_are_refused() -> None:
    with pytest.raises(UserError, match="model.llm.lora.r: is 2, but model.llm.freeze is False"):
        tiny.model(llm=replace(tiny.config().llm, lora=LORA))


@pytest.mark.parametrize("values", [{"r": -1}, {"alpha": 0}, {"dropout": 1.0}])
def test_values_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"lora.{next(iter(values))}"):
        LoraConfig(**values)


def test_without_peft_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'minigpt4\[peft\]', or continue without: lora.r=0"):
        model()


def test_adapters_stay_in_fp32_on_half_precision_parts() -> None:
    def halved(lora: LoraConfig) -> LoadedModel:
        full = config(lora)
        return build_model(replace(full, **{name: replace(getattr(full, name), dtype="bf16")
                                            for name in ("vision", "resampler", "llm")}), device=CPU, seed=3)

    loaded = halved(LORA)
    assert torch.equal(loss(loaded), loss(halved(LoraConfig())))
    assert {value.dtype for part in loaded.model.parts().values() for value in adapter_state(part).values()} == {
        torch.float32}
    losses = train(loaded)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_qlora_trains_on_quantised_weights(kind: str) -> None:
    wide = {**tiny.config().llm.random, "hidden_size": 64, "intermediate_size": 128}
    plain = tiny.config()
    loaded = tiny.model(llm=replace(plain.llm, random=wide, freeze=True, quantize=kind, lora=LORA),
                        vision=replace(plain.vision, freeze=True), resampler=replace(plain.resampler, freeze=True))
    assert sum(is_quantized(layer) for layer in loaded.model.llm.modules()) >= 14
    losses = train(loaded, steps=4)
    assert losses[-1] < losses[0]
    assert all(value.grad is not None and value.grad.abs().sum() > 0
               for name, value in loaded.model.llm.named_parameters() if is_adapter(name))
