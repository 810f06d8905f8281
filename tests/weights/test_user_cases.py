"""What users tried with files of weights, run again as they did: the command ends well, or in one sentence."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from minigpt4.cli.main import main
from minigpt4.weights.files.readers import open_weights

UserCase = Callable[[str], Path]


@pytest.fixture
def begun(user_case: UserCase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> UserCase:
    """The case's folder as the working directory, its files made."""
    def begin(name: str) -> Path:
        folder = user_case(name)
        monkeypatch.chdir(folder)
        if (folder / "make.py").exists():
            torch.manual_seed(0)  # an untrained model may be told to be blank, by the loss that it begins with
            runpy.run_path(str(folder / "make.py"))
        capsys.readouterr()
        return folder
    return begin


def test_git_lfs_pointer_as_weights(begun: UserCase, capsys: pytest.CaptureFixture[str]) -> None:
    begun("git_lfs_pointer_as_weights")
    assert main(["train", "--cfg-path", "run.yaml"]) == 2
    said = capsys.readouterr().err.strip()
    assert "llm/model.safetensors: is a git-lfs pointer" in said and "git lfs pull" in said
    assert len(said.splitlines()) == 1


def test_config_json_of_another_kind(begun: UserCase, capsys: pytest.CaptureFixture[str]) -> None:
    begun("config_json_of_another_kind")
    assert main(["train", "--cfg-path", "run.yaml"]) == 2
    said = capsys.readouterr().err.strip()
    assert "transformers has no class chatglm; such a model needs model code of its own" in said
    assert len(said.splitlines()) == 1 and len(said) < 400


def test_names_as_published_pythia(begun: UserCase) -> None:
    folder = begun("names_as_published_pythia")
    assert "embed_out.weight" in open_weights(folder / "llm").names
    assert main(["train", "--cfg-path", "run.yaml"]) == 0
    assert (folder / "out" / "checkpoint_00000002" / "manifest.json").exists()


@pytest.mark.parametrize("file", ["ddp.pth", "deepspeed.pth"])
def test_checkpoint_of_ddp_or_deepspeed(file: str, begun: UserCase, capsys: pytest.CaptureFixture[str]) -> None:
    begun("checkpoint_of_ddp_or_deepspeed")
    assert main(["chat", "--cfg-path", "model.yaml", "--options", f"model.ckpt={file}", "--question", "hi"]) == 0
    assert capsys.readouterr().out.strip()


def test_run_folder_for_info(begun: UserCase, capsys: pytest.CaptureFixture[str]) -> None:
    begun("run_folder_for_info")
    assert main(["train", "--cfg-path", "run.yaml"]) == 0
    capsys.readouterr()
    assert main(["weights", "info", "out"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "checkpoint_00000002 is its newest checkpoint" and "step 2" in told[1]
    assert main(["weights", "verify", "out"]) == 0
    assert "config.yaml can be read" in capsys.readouterr().out
