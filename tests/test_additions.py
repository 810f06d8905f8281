"""Must-show 8: docs/adding.md word for word. Its files, in an empty folder outside the package, add a model part, a
system, a data set and a template; they are trained and used without touching anything of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import minigpt4.cli
from minigpt4.cli import main
from tests import tiny

BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def files(project: Path) -> dict[str, str]:
    """The page's files by name."""
    return dict(BLOCK.findall((project / "docs" / "adding.md").read_text(encoding="utf-8")))


@pytest.fixture
def outside(files: dict[str, str], tmp_path: Path) -> Path:
    """An empty folder with the page's files, a few images with captions, and a tokenizer."""
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "flowers").mkdir()
    captions = []
    for number in range(5):
        tiny.image(number).save(tmp_path / "flowers" / f"{number}.png")
        captions.append(f"{number}.png\ta red rose number {number}\n")
    (tmp_path / "flowers" / "captions.tsv").write_text("".join(captions), encoding="utf-8")
    shutil.copytree(tiny.tokenizer_folder(), tmp_path / "tokenizer")
    return tmp_path


def _minigpt4(folder: Path, project: Path, *words: str, finds_modules: bool = True) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(project), *([str(folder)] if finds_modules else [])])
    return subprocess.run([sys.executable, "-P", "-m", "minigpt4.cli.main", *words], cwd=folder, text=True,
                          env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False)


def test_a_part_a_system_a_data_set_and_a_template_from_outside(outside: Path, project: Path) -> None:
    trained = _minigpt4(outside, project, "train", "--cfg-path", "run.yaml")
    assert trained.returncode == 0, trained.stderr

    (bundle,) = (outside / "output" / "mixed").glob("checkpoint_*")
    weights = load_file(bundle / "model.safetensors")
    assert weights["connector.gate"] != 0.5, "the new part has learned in its two steps"
    assert torch.count_nonzero(weights["mixer.mix.weight"]), "the new system's own stage is in the bundle"

    shown = _minigpt4(outside, project, "show", "output/mixed", "--allow-imports")
    assert shown.returncode == 0, shown.stderr
    assert "MeanMixer" in shown.stdout and "Gated" in shown.stdout and "template letter" in shown.stdout


def test_an_installed_package_announces_itself(outside: Path, project: Path) -> None:
    """By the entry-point group alone: no `imports` in the YAML."""
    modules = yaml.safe_load((outside / "run.yaml").read_text(encoding="utf-8"))["imports"]
    metadata = outside / "flowers_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: flowers_package\nVersion: 1.0\n")
    entries = "".join(f"{module} = {module}\n" for module in modules)
    (metadata / "entry_points.txt").write_text(f"[minigpt4]\n{entries}")
    run = outside / "run.yaml"
    run.write_text(re.sub("^imports:.*\n", "", run.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")

    told = _minigpt4(outside, project, "train", "--cfg-path", "run.yaml", "--dry-run")

    assert told.returncode == 0, told.stderr
    assert "tsv_captions: 5 samples" in told.stdout and "template letter" in told.stdout


def test_a_module_that_is_not_found_is_named(outside: Path, project: Path) -> None:
    told = _minigpt4(outside, project, "train", "--cfg-path", "run.yaml", finds_modules=False)
    assert told.returncode == 2
    assert "run.yaml:1: cannot import 'gated'" in told.stderr


def test_a_command(outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(minigpt4.cli, "__path__", [*minigpt4.cli.__path__, str(outside)])
    monkeypatch.setattr(main, "FOLDER", outside)
    assert "hello" in main.commands()
    assert main.main(["hello", "--name", "Ada"]) == 0
    assert capsys.readouterr().out == "Hello, Ada!\n"
