"""Bundles and run folders written by version 0.1.0 (commit 32b73a3) still load, chat and resume.

`fixtures/first_format/runs.tar.xz` holds two tiny runs made with that commit, with paths relative to their folder: one
that trains Q-Former and connector, one with LoRA on the language model. `expected.json` holds what they answered,
`final.safetensors` what the first became after the two steps that are left of it.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minigpt4 import load
from minigpt4.cli.main import main


@pytest.fixture
def runs(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The unpacked folder, which is also where commands run."""
    with tarfile.open(project / "tests" / "fixtures" / "first_format" / "runs.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path / "first_format")
    return tmp_path / "first_format"


@pytest.mark.parametrize("name", ["full", "lora"])
@pytest.mark.parametrize("source", ["{}", "{}/checkpoint_00000002"])
def test_old_bundles_and_run_folders_answer_as_they_did(runs: Path, name: str, source: str) -> None:
    expected = json.loads((runs / "expected.json").read_text(encoding="utf-8"))[name]
    assistant = load(source.format(name))
    questions = (("images/0.png", "What is this?"), ("images/1.png", "describe"))
    assert [assistant.chat(image, text, max_new_tokens=12) for image, text in questions] == expected["answers"]
    assert assistant.describe(["images/2.png"], max_new_tokens=8) == expected["captions"]


@pytest.mark.parametrize("config", ["full.yaml", "full/config.yaml"])
def test_an_old_run_is_resumed_to_the_same_weights(runs: Path, config: str) -> None:
    """fp32 on CPU; 1e-5, as another CPU may add in another order.

    Biases of attention keys are left out: softmax does not see them, so their gradient is rounding alone, which AdamW
    makes as large as any other.
    """
    assert main(["train", "--cfg-path", config, "--resume"]) == 0
    weights = load_file(runs / "full" / "checkpoint_00000004" / "model.safetensors")
    final = load_file(runs / "final.safetensors")
    compared = {name: value for name, value in final.items() if not name.endswith("attention.key.bias")}
    assert len(compared) == len(final) - 2
    for name, value in compared.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize("command", [["show"], ["weights", "info"], ["weights", "verify"]])
def test_verbs_that_look_at_bundles_read_old_ones(runs: Path, command: list[str],
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, str(runs / "lora" / "checkpoint_00000002")]) == 0
    assert "llm" in capsys.readouterr().out
