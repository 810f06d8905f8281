"""The notebook runs from its first cell to its last, with either choice, and installs beside what Colab brings.

Cells run as they are. What stands for the network: git and pip are only looked at, and `weights download` becomes
`weights tiny-originals`, which writes parts of the same names into the same folder.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from minigpt4.cli.main import main
from minigpt4.weights.download.folder import FOLDER
from minigpt4.weights.download.known import find_known
from minigpt4.weights.tiny_originals import model_yaml
from tests.cli.pages import blocks

NARROW = ("vision.hidden_size", "vision.intermediate_size", "vision.dtype", "resampler.hidden_size",
          "resampler.intermediate_size")
"""what the YAML of the real model does not say and tiny parts need"""
COLABS_OWN = ("torch", "numpy", "pillow")
FEW_SCENES = "--stage1 64 --photographs 32 --stage2 16 --dialogues 64 --newcomers 32 --eval 2"


def code_cells(project: Path) -> list[str]:
    notebook = json.loads((project / "notebooks" / "minigpt4_colab.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def as_python(cell: str) -> str:
    """`!command {NAME}` and `%cd folder`, wherever they are indented, as calls."""
    cell = re.sub(r"^( *)!(.+)$", lambda found: f"{found[1]}_shell(f{found[2]!r})", cell, flags=re.MULTILINE)
    return re.sub(r"^( *)%cd (.+)$", r'\1_cd("\2")', cell, flags=re.MULTILINE)


class Notebook:
    """What the cells share, and what they asked of the shell.

    Args:
        folder: where it starts; the clone appears in it.
        project: what a clone holds.
    """

    def __init__(self, folder: Path, project: Path) -> None:
        self.folder, self.project = folder, project
        self.installed: list[list[str]] = []
        self.downloaded: list[str] = []
        self.values: dict[str, Any] = {"_shell": self._shell, "_cd": self._cd, "display": lambda image: None}

    def run(self, cell: str) -> None:
        exec(compile(as_python(cell), "cell", "exec"), self.values)

    def _cd(self, folder: str) -> None:
        os.chdir(folder)

    def _shell(self, line: str) -> None:
        words = shlex.split(line)
        if words[:2] == ["git", "clone"]:
            for name in ("train_configs", "eval_configs", "prompts", "examples"):
                shutil.copytree(self.project / name, Path(words[-1]) / name)
            for name in ("constraints.txt", "pyproject.toml"):
                shutil.copy(self.project / name, words[-1])
        elif words[:4] == ["python", "-m", "pip", "install"]:
            self.installed.append(words[4:])
        elif words[:5] == ["python", "-m", "minigpt4", "weights", "download"]:
            self.downloaded = words[5:]
            assert main(["weights", "tiny-originals", str(FOLDER)]) == 0
        else:
            assert main(self._smaller(words)) == 0, line

    def _smaller(self, words: list[str]) -> list[str]:
        assert words[0] == "python"
        if words[1] == "train.py":
            return ["train", *words[2:], "run.warmup_steps=0"]
        assert words[1:3] == ["-m", "minigpt4"]
        return words[3:] + (shlex.split(FEW_SCENES) if words[3:5] == ["data", "scenes"] else [])


@pytest.fixture
def notebook(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.chdir(tmp_path)
    return Notebook(tmp_path, project)


def run_all(notebook: Notebook, choice: str, between: Callable[[str], None] = lambda cell: None) -> None:
    """Every cell in its order; `between` sees each cell before it runs."""
    for cell in code_cells(notebook.project):
        between(cell)
        cell = cell.replace('CHOICE = "embedded"', f'CHOICE = "{choice}"').replace("STEPS = 100", "STEPS = 1")
        notebook.run(cell)


def test_the_embedded_default_is_trained_asked_and_exported(notebook: Notebook,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    run_all(notebook, "embedded")
    clone = notebook.folder / "minigpt4"
    assert Path.cwd() == clone and not notebook.downloaded
    assert capsys.readouterr().out.count("->") == 5
    exported = torch.load(clone / "output" / "minigpt4_scenes.pth", weights_only=True)["model"]
    assert set(exported) == {"llama_proj.weight", "llama_proj.bias"}


def narrow_options() -> list[str]:
    model: Mapping[str, Any] = yaml.safe_load(model_yaml())["model"]
    return [f"model.{key}={model[part][leaf]}" for key in NARROW for part, leaf in [key.split(".")]]


def test_the_7b_branch_reads_what_its_download_cell_wrote(notebook: Notebook, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    """With an own image, uploaded as Colab does: a dict of names, the files in the working folder."""
    _upload(monkeypatch, notebook.project / "examples" / "photos" / "shoe_03.jpg")

    def narrow(cell: str) -> None:
        if "minigpt4.load(" in cell:
            notebook.values["OPTIONS"] += narrow_options()

    run_all(notebook, "7b", narrow)
    assert notebook.downloaded and not Path("output/scenes").exists()
    files = set(notebook.values["FILES"].values())
    assert files == {find_known(name).place(FOLDER).as_posix() for name in notebook.downloaded}
    assert capsys.readouterr().out.count("->") == 3 and notebook.values["image"] == Path("mine.jpg")
    loaded = notebook.values["model"].loaded
    assert loaded.config.llm.quantize == "int8" and loaded.config.llm.weights.endswith("vicuna-7b-v0")


def _upload(monkeypatch: pytest.MonkeyPatch, image: Path) -> None:
    """Beside what else is in the namespace `google`, which protobuf shares."""
    colab, files = ModuleType("google.colab"), ModuleType("google.colab.files")

    def upload() -> dict[str, bytes]:
        shutil.copy(image, "mine.jpg")
        return {"mine.jpg": image.read_bytes()}

    files.upload, colab.files = upload, files  # type: ignore[attr-defined]
    for name, module in (("google.colab", colab), ("google.colab.files", files)):
        monkeypatch.setitem(sys.modules, name, module)


def _pins(constraints: Path) -> dict[str, str]:
    lines = constraints.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_colabs_own_packages_stay(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = code_cells(notebook.project)[:2]
    notebook.run(first)
    notebook.run(second)
    [words] = notebook.installed
    assert words[-1] == ".[demo,quantized]"
    pins, ours = (_pins(Path(name)) for name in (words[words.index("-c") + 1], "constraints.txt"))
    assert {name: pins.pop(name) for name in COLABS_OWN} == {name: version(name) for name in COLABS_OWN}
    assert pins == {name: number for name, number in ours.items() if name not in COLABS_OWN}
    assert "Restart session" in capsys.readouterr().out, "transformers is imported here"


def test_cell_1_after_a_restart_finds_the_clone(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    first = code_cells(notebook.project)[0]
    notebook.run(first)
    monkeypatch.chdir(notebook.folder)
    again = Notebook(notebook.folder, notebook.project)
    monkeypatch.setattr(again, "_shell", lambda line: pytest.fail(f"asked again for {line}"))
    again.values["_shell"] = again._shell
    again.run(first)
    again.run(first)  # and from within
    assert Path.cwd() == notebook.folder / "minigpt4"


def test_environment_yml_installs_what_the_readme_installs(project: Path) -> None:
    environment = yaml.safe_load((project / "environment.yml").read_text(encoding="utf-8"))
    [lines] = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    installed = next(line for block in blocks(project / "README.md", "bash") for line in block.splitlines()
                     if line.startswith("pip install -c"))
    words = shlex.split(installed, comments=True)[2:]
    assert [word for line in lines for word in shlex.split(line)] == words
