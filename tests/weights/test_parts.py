"""Parts cut out of a bundle: written small, read by another model, each taking what bears its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config.paths import PACKAGE, find_path
from minigpt4.common.errors import UserError
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.resamplers.q_former import QFormerConfig
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.weights.bundles.bundle import Bundle, open_bundle
from minigpt4.weights.bundles.parts import own_plan, write_parts
from minigpt4.weights.files.readers import open_weights
from tests import tiny

FROZEN = CausalLMConfig(random=tiny.config().llm.random, tokenizer=str(tiny.tokenizer_folder()))


def _eva_vit(**values: object) -> EvaVitConfig:
    return EvaVitConfig(image_size=28, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=16, **values)  # type: ignore[arg-type]


def _q_former(**values: object) -> QFormerConfig:
    return QFormerConfig(num_query_tokens=3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                         intermediate_size=16, **values)  # type: ignore[arg-type]


def _bundle(loaded: LoadedModel, folder: Path) -> Bundle:
    folder.mkdir()
    loaded.save_bundle(folder, resolved_config=tiny.as_yaml(loaded.config), stage="a test", step=1)
    return open_bundle(folder)


@pytest.fixture
def visual(tmp_path: Path) -> tuple[LoadedModel, Path]:
    """A model whose visual parts train, and their file."""
    loaded = tiny.model(vision=_eva_vit(freeze=False), resampler=_q_former(freeze=False), llm=FROZEN)
    write_parts([_bundle(loaded, tmp_path / "bundle")], tmp_path / "parts")
    return loaded, tmp_path / "parts"


def test_visual_parts_come_back_in_another_model(visual: tuple[LoadedModel, Path]) -> None:
    trained, folder = visual
    again = tiny.model(seed=1, vision=_eva_vit(weights=str(folder)), resampler=_q_former(weights=str(folder)))
    for name in ("vision", "resampler"):
        state = again.model.parts()[name].state_dict()
        for key, value in trained.model.parts()[name].state_dict().items():
            torch.testing.assert_close(state[key], value.half().float(), rtol=0, atol=0)
    assert {origin.source for name in ("vision", "resampler") for origin in again.origins[name]} == {"file"}


def test_only_trained_parts_are_written_in_half_precision_and_no_connector(visual: tuple[LoadedModel, Path]) -> None:
    tensors = load_file(visual[1] / "model.safetensors")
    assert {name.partition(".")[0] for name in tensors} == {"vision", "resampler"}
    assert {value.dtype for value in tensors.values()} == {torch.float16}


def test_a_language_model_becomes_a_folder_that_loads(tmp_path: Path) -> None:
    sizes = {**tiny.config().llm.random, "tie_word_embeddings": True}
    vision, resampler = _eva_vit(), _q_former()
    trains = CausalLMConfig(random=sizes, tokenizer=str(tiny.tokenizer_folder()), freeze=False)
    trained = tiny.model(vision=vision, resampler=resampler, llm=trains)
    write_parts([_bundle(trained, tmp_path / "bundle")], tmp_path / "llm", dtype="fp32")
    again = tiny.model(seed=1, vision=vision, resampler=resampler, llm=CausalLMConfig(weights=str(tmp_path / "llm")))
    for key, value in trained.model.llm.state_dict().items():
        torch.testing.assert_close(again.model.llm.state_dict()[key], value, rtol=0, atol=0)
    assert again.tokenizer.vocab_size == trained.tokenizer.vocab_size


def test_the_log_comes_along_thinned(tmp_path: Path) -> None:
    steps = [{"kind": "step", "step": step, "loss": 1 / step, "memory_gib": 0.5} for step in range(1, 121)]
    lines = [json.dumps(record) for record in [*steps, {"kind": "valid", "step": 120, "split": "seen", "loss": 0.1}]]
    (tmp_path / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    trained = tiny.model(resampler=_q_former(freeze=False), llm=FROZEN)
    write_parts([_bundle(trained, tmp_path / "bundle")], tmp_path / "p")
    kept = [json.loads(line) for line in (tmp_path / "p" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(record["kind"], record["step"]) for record in kept] == [("step", 50), ("step", 100), ("valid", 120)]
    assert set(kept[0]) == {"kind", "step", "loss"}


def test_several_runs_give_one_file_in_which_the_last_wins(tmp_path: Path) -> None:
    both = tiny.model(vision=_eva_vit(freeze=False), resampler=_q_former(freeze=False), llm=FROZEN)
    later = tiny.model(seed=5, vision=_eva_vit(), resampler=_q_former(freeze=False), llm=FROZEN)
    write_parts([_bundle(both, tmp_path / "one"), _bundle(later, tmp_path / "two")], tmp_path / "p", dtype="fp32")
    tensors = load_file(tmp_path / "p" / "model.safetensors")
    for name, loaded in {"vision": both, "resampler": later}.items():
        for key, value in loaded.model.parts()[name].state_dict().items():
            torch.testing.assert_close(tensors[f"{name}.{key}"], value, rtol=0, atol=0)


def test_a_whole_model_is_not_cut(tmp_path: Path) -> None:
    bundle = _bundle(tiny.model(vision=_eva_vit(freeze=False)), tmp_path / "bundle")
    with pytest.raises(UserError, match="together"):
        write_parts([bundle], tmp_path / "parts")


def test_files_of_other_forms_have_no_own_plan(visual: tuple[LoadedModel, Path]) -> None:
    file = open_weights(visual[1])
    assert own_plan("vision", file) is not None
    assert own_plan("connector", file) is None


def test_shipped_parts_are_found_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minigpt4.common.config.paths.PACKAGE", tmp_path / "package")
    (tmp_path / "package" / "parts" / "eye").mkdir(parents=True)
    assert find_path("parts/eye", "any", None) == (str(tmp_path / "package" / "parts" / "eye"), "")
    assert find_path("other/eye", "any", None)[1]
    assert PACKAGE.name == "minigpt4"
