"""The notebook runs from its first cell to its last on the embedded default (few steps)."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from tests.cli.pages import run_command


def code_cells(project: Path) -> list[str]:
    notebook = json.loads((project / "notebooks" / "minigpt4_colab.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shell(line: str, values: dict) -> None:
    """A `!` line: `{NAME}` is filled as notebooks do, our commands run in this process, pip only has to name files."""
    command = re.sub(r"\{(\w+)\}", lambda found: str(values[found.group(1)]), line)
    if command.startswith("pip"):
        assert shlex.split(command)[-1] == ".[demo,quantized]"
        return
    command = command.replace("python train.py", "minigpt4 train")
    if "data scenes" in command:
        command += " --stage1 64 --stage2 16 --dialogues 64 --eval 2"
    if "run.iters_per_epoch" in command:
        command += " run.warmup_steps=0"
    assert run_command(command) == 0, command


def test_every_cell_runs(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train_configs", "eval_configs", "prompts"):
        shutil.copytree(project / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    values: dict = {}
    for cell in code_cells(project):
        plain = [line for line in cell.splitlines() if not line.startswith("!")]
        exec("\n".join(plain).replace("STEPS = 100", "STEPS = 1"), values)
        for line in cell.splitlines():
            if line.startswith("!"):
                shell(line[1:], values)
    assert isinstance(values["model"].chat(values["image"], "What is in the top left?", max_new_tokens=5), str)
    exported = torch.load(tmp_path / "output" / "minigpt4_scenes.pth", weights_only=True)["model"]
    assert set(exported) == {"llama_proj.weight", "llama_proj.bias"}
