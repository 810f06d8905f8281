"""Merging: a bundle without adapters whose logits are those of the bundle with them, or none at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from minigpt4.assembly import merging
from minigpt4.assembly.build import build_model
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.probe import probed_logits
from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.ecosystem.exporting import export_original
from minigpt4.inference.load import load_model
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.lora import LoraConfig, adapters_of
from minigpt4.weights.bundles.bundle import open_bundle
from minigpt4.weights.bundles.parts import own_plan, write_parts
from minigpt4.weights.files.readers import open_weights
from minigpt4.weights.inspection import describe_weights
from tests import tiny

LORA = LoraConfig(r=2, alpha=4)


def bundle(place: Path, *, quantize: str | None = None, lora: LoraConfig = LORA) -> Path:
    """Adapters with an effect on Q-Former and language model, as a training would leave them."""
    plain = tiny.config()
    llm = replace(plain.llm, freeze=True, lora=lora)
    loaded = tiny.model(llm=llm, resampler=replace(plain.resampler, freeze=True, lora=lora),
                        vision=replace(plain.vision, freeze=True))
    draw = torch.Generator().manual_seed(1)
    for name, value in loaded.model.named_parameters():
        if "lora_B" in name:
            value.data = torch.randn(value.shape, generator=draw) * 0.3
    place.mkdir()
    section = replace(loaded.config, llm=replace(llm, quantize=quantize))
    loaded.save_bundle(place, resolved_config=tiny.as_yaml(section), stage="stage 2", step=7)
    return place


def logits(loaded: LoadedModel) -> torch.Tensor:
    return probed_logits(loaded)


def test_a_merged_bundle_has_plain_weights_and_equal_logits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapted, merged = bundle(tmp_path / "adapted"), tmp_path / "merged"
    assert main(["weights", "merge", "--from", str(adapted), "--target", str(merged)]) == 0
    assert "adapters merged into plain weights of resampler (float32), llm (float32)" in capsys.readouterr().out
    before, after = load_model(adapted), load_model(merged)
    assert not any(adapters_of(part) for part in after.model.parts().values())
    torch.testing.assert_close(logits(after), logits(before), rtol=0, atol=1e-5)
    without = load_model(bundle(tmp_path / "without", lora=LoraConfig()))
    assert (logits(after) - logits(without)).abs().max() > 0.1, "the adapters had an effect"
    manifest = json.loads((merged / "manifest.json").read_text())
    assert (manifest["stage"], manifest["step"]) == ("stage 2", 7)
    assert not any("lora" in name for name in open_weights(merged / "model.safetensors").names)
    assert "lora" not in yaml.safe_load((merged / "config.yaml").read_text())["model"]["llm"]


def test_info_names_adapters(tmp_path: Path) -> None:
    lines = "\n".join(describe_weights(bundle(tmp_path / "adapted")))
    assert "llm: stored here" in lines and "LoRA of rank 2 on q_proj, v_proj" in lines


def test_other_logits_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = bundle(tmp_path / "adapted")
    true_merge = merging.merge_adapters

    def spoiled(part: torch.nn.Module) -> None:
        true_merge(part)
        next(part.parameters()).data += 0.01

    monkeypatch.setattr(merging, "merge_adapters", spoiled)
    with pytest.raises(UserError, match="is not written: its logits differ by"):
        merging.merge_bundle(adapted, tmp_path / "merged", lambda place, options: load_model(place, options=options))
    assert [entry.name for entry in tmp_path.iterdir()] == ["adapted"]


def test_quantised_weights_are_refused_until_the_full_ones_are_asked_for(tmp_path: Path) -> None:
    adapted, merged = bundle(tmp_path / "adapted", quantize="int8"), tmp_path / "merged"

    def merge(*options: str) -> list[str]:
        return merging.merge_bundle(
            adapted, merged, lambda place, more: load_model(place, options=more), options)

    with pytest.raises(UserError, match="adapters cannot be merged into quantised weights.*model.llm.quantize=null"):
        merge()
    assert not merged.exists()
    assert merge("model.llm.quantize=null") and merged.exists()


def test_a_bundle_without_adapters(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no adapters"):
        merging.merge_bundle(bundle(tmp_path / "plain", lora=LoraConfig()), tmp_path / "merged",
                             lambda place, options: load_model(place, options=options))


def test_whoever_cannot_say_adapters_refuses_them(tmp_path: Path) -> None:
    adapted = bundle(tmp_path / "adapted")
    with pytest.raises(UserError, match="merge them first"):
        export_original(load_model(adapted), tmp_path / "out.pth")
    with pytest.raises(UserError, match="merge them first"):
        write_parts([open_bundle(adapted)], tmp_path / "parts")
    with pytest.raises(UserError, match="has adapters on the resampler"):
        own_plan("resampler", open_weights(adapted / "model.safetensors"))


def on_half_precision(folder: Path, dtype: torch.dtype) -> Path:
    """A bundle with adapters on a language model whose folder holds half precision."""
    llm = folder / "llm"
    tiny.model(seed=8).model.llm.model.to(dtype).save_pretrained(llm)
    for file in tiny.tokenizer_folder().iterdir():
        (llm / file.name).write_bytes(file.read_bytes())
    config = tiny.config(llm=CausalLMConfig(weights=str(llm), lora=LORA))
    loaded = build_model(config, device=torch.device("cpu"))
    draw = torch.Generator().manual_seed(1)
    for name, value in loaded.model.named_parameters():
        if "lora_B" in name:
            value.data = torch.randn(value.shape, generator=draw) * 0.1
    place = folder / "adapted"
    place.mkdir()
    loaded.save_bundle(place, resolved_config=tiny.as_yaml(config), stage="stage 2", step=7)
    return place


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half(dtype: torch.dtype, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapted, merged = on_half_precision(tmp_path, dtype), tmp_path / "merged"
    assert main(["weights", "merge", "--from", str(adapted), "--target", str(merged)]) == 0, capsys.readouterr().err
    tensors = load_file(merged / "model.safetensors")
    assert {value.dtype for name, value in tensors.items() if name.startswith("llm.")} == {dtype}
    assert {value.dtype for name, value in tensors.items() if name.startswith("connector.")} == {torch.float32}
    size = (tmp_path / "llm" / "model.safetensors").stat().st_size
    stored = sum(value.numel() * value.element_size() for name, value in tensors.items() if name.startswith("llm."))
    assert stored == pytest.approx(size, rel=0.1)
    before, after = logits(load_model(adapted)), logits(load_model(merged))
    bar = merging.TOLERANCE[dtype] * before.abs().max()
    assert merging.TOLERANCE[torch.float32] < (after - before).abs().max() < bar


def test_sums_in_full_precision_where_asked(tmp_path: Path) -> None:
    adapted, merged = on_half_precision(tmp_path, torch.float16), tmp_path / "merged"
    assert main(["weights", "merge", "--from", str(adapted), "--target", str(merged), "--fp32"]) == 0
    torch.testing.assert_close(logits(load_model(merged)), logits(load_model(adapted)), rtol=0, atol=1e-5)
