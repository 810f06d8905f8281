"""README.md tells the truth: every command in it runs (on tiny settings), links lead somewhere, figures are those of
the committed results."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from minigpt4.weights.download.known import known_weights
from tests.cli.pages import blocks, run_command, write_checkout

PAGES = ("README.md", "README_zh.md")
SMALLER = {
    "chat": " --max-new-tokens 5 --device cpu",
    "caption": " --max-new-tokens 5 --device cpu",
    "train": " --options run.max_epoch=1 run.iters_per_epoch=1 run.batch_size_train=2 run.warmup_steps=0"
             " run.valid_samples=2 run.valid_captions=1",
}
PROGRAMS = {"python train.py": "minigpt4 train", "python demo.py": "minigpt4 demo"}


def commands(page: Path) -> list[str]:
    lines = [line.partition("  #")[0].strip() for block in blocks(page, "bash") for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture
def in_checkout(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_checkout(tmp_path, project)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    (tmp_path / "weights").mkdir()  # offline, `weights download` is content with what lies there already
    for name in ("eva_vit_g", "blip2_pretrained_flant5xxl", "prerained_minigpt4_7b"):
        with open(tmp_path / "weights" / f"{name}.pth", "wb") as file:
            file.truncate(known_weights()[name].file.size or 1)
    monkeypatch.setattr("minigpt4.serve.page.launch", lambda page, **flags: "")  # the page itself: tests/browser
    return tmp_path


def as_here(line: str) -> str:
    """The command as it runs in the tiny checkout: a bundle in place of tens of gigabytes, one rank, few steps."""
    if line.startswith("torchrun"):
        line = "minigpt4 train" + line.partition("train.py")[2]
    for program, command in PROGRAMS.items():
        line = line.replace(program, command)
    line = re.sub(r"eval_configs/minigpt4_(eval|scenes)\.yaml", "output/minigpt4_photos_stage2/config.yaml", line)
    if line == "minigpt4 demo":  # the embedded default's own parts are tested in tests/test_embedded_default.py
        line += " --model output/minigpt4_scenes_stage2"
    return line + SMALLER.get(shlex.split(line)[1], "")


@pytest.mark.parametrize("name", PAGES)
def test_every_command_runs(name: str, project: Path, in_checkout: Path) -> None:
    found = commands(project / name)
    ours = [line for line in found if not line.startswith(("make", "pip"))]
    assert len(ours) >= 10
    for line in ours:
        if "train.py" in line:
            stage = re.search(r"photos_stage\d", line)
            assert stage is not None, line
            shutil.rmtree(in_checkout / "output" / f"minigpt4_{stage.group()}", ignore_errors=True)  # must be new
        assert run_command(as_here(line)) == 0, line


@pytest.mark.parametrize("name", PAGES)
def test_make_and_pip_are_named_as_they_are(name: str, project: Path) -> None:
    for line in commands(project / name):
        if line.startswith("make"):
            subprocess.run([*shlex.split(line), "--dry-run"], cwd=project, check=True, capture_output=True)
        if line.startswith("pip"):
            assert line == 'pip install -c constraints.txt -e ".[dev]"' and (project / "constraints.txt").exists()


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str, project: Path) -> None:
    text = (project / name).read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
                for line in text.splitlines() if line.startswith("#")}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif not target.startswith("http"):
            assert (project / target).exists(), target


def test_both_languages_have_the_same_commands_and_sections(project: Path) -> None:
    english, chinese = ((project / name).read_text(encoding="utf-8") for name in PAGES)
    assert re.findall(r"^#+ ", english, re.MULTILINE) == re.findall(r"^#+ ", chinese, re.MULTILINE)
    plain = [[re.sub(r'"[^"]*"', "", line) for line in commands(project / name)] for name in PAGES]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("name", PAGES)
def test_the_measured_tables_are_those_of_the_committed_results(name: str, project: Path) -> None:
    from benchmarks.readme import RESULTS, committed, measured, with_measured

    text = (project / name).read_text(encoding="utf-8")
    language = "zh" if "_zh" in name else "en"
    results = {one: committed(one) for one in RESULTS}
    assert with_measured(text, measured(results, language=language)) == text, "run: python benchmarks/readme.py"
