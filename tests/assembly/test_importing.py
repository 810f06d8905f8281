"""The published checkpoints become bundles that load alone and chat the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from minigpt4.assembly.probe import probed_logits
from minigpt4.cli.main import main
from minigpt4.common.config.write import plain
from minigpt4.inference.load import Assistant, load_model
from tests import tiny
from tests.parity import minigpt4_folder as oracle
from tests.weights.test_bundle import assert_equal_weights


def write_yaml(folder: Path, *, q_former: bool) -> Path:
    section = oracle.config(q_former=q_former, behaviour="standard", template="vicuna_v0", ckpt=None)
    file = folder / "eval.yaml"
    file.write_text(yaml.safe_dump({"model": plain(section)}))
    return file


@pytest.mark.parametrize(("q_former", "checkpoint"), [
    (True, "minigpt4_tiny.pth"), (False, "minigpt4_llama2_tiny.pth"), (True, "runner_checkpoint_stage2.pth"),
])
def test_a_checkpoint_becomes_a_bundle(q_former: bool, checkpoint: str, tmp_path: Path,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    file, place = write_yaml(tmp_path, q_former=q_former), oracle.folder() / "parts" / checkpoint
    command = ["weights", "import-checkpoint", "--ckpt", str(place), "--cfg-path", str(file),
               "--target", str(tmp_path / "bundle")]
    assert main(command) == 0, capsys.readouterr().err
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["stage"] == f"imported from {checkpoint}"
    assert [name for name, part in manifest["parts"].items() if part["stored"]] == ["connector"]
    direct, imported = load_model(file, options=[f"model.ckpt={place}"]), load_model(tmp_path / "bundle")
    assert_equal_weights(direct, imported)
    assert torch.equal(probed_logits(direct), probed_logits(imported))
    answers = [Assistant(each).chat(tiny.image(1), "what is this", max_new_tokens=8) for each in (direct, imported)]
    assert answers[0] == answers[1]
    assert main(["weights", "verify", str(tmp_path / "bundle")]) == 0
    assert main(command) == 2 and "already exists" in capsys.readouterr().err


def test_parts_that_were_trained_with_the_projection_are_stored(tmp_path: Path) -> None:
    """A checkpoint of the original runner with freeze_qformer False."""
    state = torch.load(oracle.folder() / "parts" / "minigpt4_tiny.pth", weights_only=True)["model"]
    blip2 = torch.load(oracle.folder() / "parts" / "blip2_pretrained_tiny.pth", weights_only=True)["model"]
    state |= {name: value * 1.01 for name, value in blip2.items()
              if name.startswith(("Qformer.bert.encoder", "query_tokens", "ln_vision", "Qformer.bert.embeddings.Lay"))}
    torch.save({"model": state}, tmp_path / "trained.pth")
    file = write_yaml(tmp_path, q_former=True)
    assert main(["weights", "import-checkpoint", "--ckpt", str(tmp_path / "trained.pth"), "--cfg-path", str(file),
                 "--target", str(tmp_path / "bundle")]) == 0
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    stored = [name for name, part in manifest["parts"].items() if part["stored"]]
    assert stored == ["vision", "resampler", "connector"]
    direct = load_model(file, options=[f"model.ckpt={tmp_path / 'trained.pth'}"])
    assert_equal_weights(direct, load_model(tmp_path / "bundle"))


def test_a_part_without_weights_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = oracle.folder() / "parts" / "minigpt4_tiny.pth"
    command = ["weights", "import-checkpoint", "--ckpt", str(place), "--target", str(tmp_path / "bundle"),
               "--cfg-path", str(write_yaml(tmp_path, q_former=True)), "--options"]
    assert main([*command, "model.resampler.weights=null"]) == 2
    assert "model.resampler.weights: is not given, and the checkpoint does not contain" in capsys.readouterr().err
    assert main([*command, "model.llm.weights=null", f"model.llm.tokenizer={oracle.folder() / 'parts' / 'llm'}"]) == 2
    assert "model.llm.weights: is not given" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()
