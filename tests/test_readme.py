"""README.md tells the truth: every command in it runs as printed after `make demo`, links lead somewhere, figures are
those of the committed results.

What the commands find is what `make demo` leaves (the fixture runs its commands with fewer scenes and steps). Commands
are printed for a person with a browser, the network or two processes; what stands for these is in `as_here`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.pages import ONE_STEP, blocks, run_command

PAGES = ("README.md", "README_zh.md")
SMALLER = {
    "chat": " --max-new-tokens 5",
    "caption": " --max-new-tokens 5",
    "train": f" {ONE_STEP} run.batch_size_train=2",
}
"""sizes only; every printed `train` ends with its `--options`"""
PROGRAMS = {"python train.py": "minigpt4 train", "python demo.py": "minigpt4 demo"}
WANTS_THE_NETWORK = "minigpt4 weights download "
"""gigabytes of somebody else: here with --offline, which lists what to bring, and ends with 2 as it lies nowhere"""


def commands(page: Path) -> list[str]:
    lines = [line.partition("  #")[0].strip() for block in blocks(page, "bash") for line in block.splitlines()]
    return [line for line in lines if line]


def as_here(line: str) -> str:
    """The command with smaller sizes; `torchrun`'s processes are tested in tests/runners, here its command runs."""
    if line.startswith("torchrun"):
        line = "minigpt4 train" + line.partition("train.py")[2]
    for program, command in PROGRAMS.items():
        line = line.replace(program, command)
    return line + SMALLER.get(shlex.split(line)[1], "")


@pytest.mark.parametrize("name", PAGES)
def test_every_command_runs_after_make_demo(name: str, project: Path, after_make_demo: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minigpt4.serve.page.launch", lambda page, **flags: "")  # the page itself: tests/browser
    found = commands(project / name)
    ours = [line for line in found if not line.startswith(("make", "pip"))]
    assert len(ours) >= 12
    for line in ours:
        wants_network = line.startswith(WANTS_THE_NETWORK) and "--list" not in line
        line = as_here(line) + " --offline" * wants_network
        assert run_command(line) == (2 if wants_network else 0), line


@pytest.mark.parametrize("name", PAGES)
def test_the_python_lines_run_after_make_demo(name: str, project: Path, after_make_demo: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    [block] = blocks(project / name, "python")
    exec(block, {})
    assert len(capsys.readouterr().out.splitlines()) >= 2


@pytest.mark.parametrize("name", PAGES)
def test_paths_in_commands_are_those_of_the_repository_or_of_make_demo(name: str, project: Path,
                                                                        after_make_demo: Path) -> None:
    written = {"output/again", "output/two_processes", "output/captions.jsonl", "output/eval"}
    for line in commands(project / name):
        for path in re.findall(r"(?<![\w/.])(?:output|train_configs|eval_configs|docs)/[\w./-]+", line):
            assert path in written or (after_make_demo / path).exists(), f"{path} of: {line}"


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
