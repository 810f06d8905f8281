"""`minigpt4 configs`: what is shipped can be listed and copied; the reference is as new as the dataclasses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minigpt4.cli import configs
from minigpt4.cli.main import main
from minigpt4.common.config import load_fragment
from minigpt4.common.config.paths import shipped_folder


def test_list_names_every_file_with_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(configs.shipped_files()) > 0
    assert any(line.startswith("train_configs/minigpt4_stage2_finetune.yaml") and "Stage 2" in line for line in lines)


def test_copy_brings_the_prompts_along(tmp_path: Path) -> None:
    assert main(["configs", "copy", "minigpt4_stage2_finetune", "--to", str(tmp_path)]) == 0
    assert (tmp_path / "prompts" / "alignment.txt").read_text() == (
        shipped_folder() / "prompts" / "alignment.txt"
    ).read_text()
    first = (tmp_path / "minigpt4_stage2_finetune.yaml").read_text().splitlines()[0]
    assert Path(first.split("$schema=")[1]).is_file()
    assert load_fragment(tmp_path / "minigpt4_stage2_finetune.yaml").model.max_txt_len == 160


def test_copy_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["configs", "copy", "alignment", "--to", str(tmp_path)]
    assert main(words) == 0
    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err


def test_an_unknown_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "copy", "minigpt4_stage3_finetune"]) == 2
    assert "did you mean 'minigpt4_stage2_finetune'?" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["train_configs", "eval_configs", "minigpt4/configs/models",
                                    "minigpt4/configs/datasets"])
def test_every_yaml_of_ours_loads_and_names_the_schema(project: Path, folder: str) -> None:
    files = sorted((project / folder).rglob("*.yaml"))
    assert files
    for file in files:
        first = file.read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema="), file
        assert (file.parent / first.split("=", 1)[1]).resolve() == project / "docs" / "schema" / "config.json", file
        config = load_fragment(file)
        if not folder.startswith("minigpt4/"):
            assert config.model.behaviour == "standard", file


def test_the_reference_is_not_stale(project: Path, tmp_path: Path) -> None:
    """In a process of its own: other tests register toys. Mend with `make docs`."""
    command = [sys.executable, "-m", "minigpt4.cli.main", "configs", "docs", "--to", str(tmp_path)]
    subprocess.run(command, check=True, cwd=project)
    for name in ("config.md", "schema/config.json"):
        assert (tmp_path / name).read_text() == (project / "docs" / name).read_text(), f"{name}: run `make docs`"
