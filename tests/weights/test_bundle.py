"""Bundles: what training wrote loads alone, knows what it belongs to, and refuses another language model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from minigpt4.assembly.build import build_model
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config.write import plain
from minigpt4.common.errors import UserError
from minigpt4.inference.load import load_model
from tests import tiny
from tests.parity import minigpt4_folder as oracle

CPU = torch.device("cpu")


def save(loaded: LoadedModel, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    resolved = yaml.safe_dump({"model": plain(loaded.config)})
    loaded.save_bundle(folder, resolved_config=resolved, stage="stage 1", step=7)
    return folder


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {f"{part}.{key}": value for part, module in loaded.model.parts().items()
            for key, value in module.state_dict().items()}


def assert_equal_weights(one: LoadedModel, other: LoadedModel) -> None:
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def test_random_and_trained_parts_are_stored(tmp_path: Path) -> None:
    loaded = tiny.model(seed=5)
    again = load_model(save(loaded, tmp_path / "bundle"))
    assert_equal_weights(loaded, again)
    assert again.stage == "stage 1"


def test_frozen_files_are_named_and_not_stored(tmp_path: Path) -> None:
    loaded = oracle.model()
    folder = save(loaded, tmp_path / "bundle")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [name for name, part in manifest["parts"].items() if part["stored"]] == ["connector"]
    assert all(origin["identity"] and origin["place"] for origin in manifest["parts"]["vision"]["origins"])
    assert_equal_weights(loaded, load_model(folder))


def test_a_moved_bundle_loads(tmp_path: Path) -> None:
    loaded = tiny.model()
    shutil.move(save(loaded, tmp_path / "bundle"), tmp_path / "elsewhere")
    assert_equal_weights(loaded, load_model(tmp_path / "elsewhere"))


def test_the_next_stage_freezes_what_the_first_one_trained(tmp_path: Path) -> None:
    first = tiny.model(seed=3)
    ckpt = str(save(first, tmp_path / "stage1"))
    config = tiny.config(ckpt=ckpt)
    config = replace(config, vision=replace(config.vision, freeze=True), llm=replace(config.llm, freeze=True))
    second = build_model(config, device=CPU, seed=9)
    assert_equal_weights(first, second)
    again = load_model(save(second, tmp_path / "stage2"))
    assert_equal_weights(first, again)


def test_u3_another_language_model_of_the_same_shape_is_refused(tmp_path: Path) -> None:
    folder = save(oracle.model(), tmp_path / "bundle")
    other = tmp_path / "llm"
    shutil.copytree(oracle.folder() / "parts" / "llm", other)
    shard = sorted([*other.glob("*.bin"), *other.glob("*.safetensors")])[0]
    if shard.suffix == ".bin":
        state = torch.load(shard, weights_only=True)
        state["model.embed_tokens.weight"] = state["model.embed_tokens.weight"].flip(0).contiguous()
        torch.save(state, shard)
    else:
        from safetensors.torch import load_file, save_file

        save_file({name: value.flip(0).contiguous() for name, value in load_file(shard).items()}, shard)
    with pytest.raises(UserError, match=r"was trained with the llm .* this is .*model.llm.weights"):
        load_model(folder, options=[f"model.llm.weights={other}"])


def test_a_part_that_is_gone_is_named_with_its_fingerprint(tmp_path: Path) -> None:
    vision = tmp_path / "eva_vit_tiny.pth"
    shutil.copy(oracle.folder() / "parts" / "eva_vit_tiny.pth", vision)
    config = oracle.config()
    loaded = build_model(replace(config, vision=replace(config.vision, weights=str(vision))), device=CPU)
    folder = save(loaded, tmp_path / "bundle")
    wanted = json.loads((folder / "manifest.json").read_text())["parts"]["vision"]["origins"][0]["identity"]
    vision.unlink()
    with pytest.raises(UserError) as error:
        load_model(folder)
    assert wanted[:12] in str(error.value) and "model.vision.weights" in str(error.value)


def test_folders_that_are_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a bundle nor a run folder"):
        load_model(tmp_path)
    folder = save(tiny.model(), tmp_path / "bundle")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="model.safetensors missing"):
        load_model(folder)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    folder = save(tiny.model(), tmp_path / "bundle")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(UserError, match="format 99"):
        load_model(folder)


@pytest.mark.parametrize("content", ["{}", "[]", '{"format": 2, "parts": null}'])
def test_a_manifest_that_names_no_parts_is_refused(tmp_path: Path, content: str) -> None:
    folder = save(tiny.model(), tmp_path / "bundle")
    (folder / "manifest.json").write_text(content)
    with pytest.raises(UserError, match="manifest.json: is not the manifest of a bundle"):
        load_model(folder)
