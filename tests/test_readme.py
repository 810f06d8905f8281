"""READMEs, tutorial and the page for users of the original tell the truth: their commands run after `make demo`, links
lead somewhere, figures are those of the committed results.

Here commands run in this process, on what `make demo`'s commands leave with few scenes and one step (the fixture), with
smaller sizes. `tests/test_clean_clone.py` (slow) runs them as printed in a fresh clone.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.readme import blocks_of, with_blocks
from benchmarks.readme_top import repository
from minigpt4.cli import main as door
from tests.cli.pages import ONE_STEP, run_command
from tests.page_commands import OWN_DATA, PAGES, Command, commands_of

READMES = ("README.md", "README_zh.md")
SMALLER = {
    "chat": " --max-new-tokens 5",
    "caption": " --max-new-tokens 2",
    "eval": " --limit 1",
    "finetune": " --epochs 1 --batch-size 150",
    "train": f" {ONE_STEP} run.batch_size_train=2",
}
"""sizes only; every printed `train` ends with its `--options`"""
PROGRAMS = {"python train.py": "minigpt4 train", "python demo.py": "minigpt4 demo"}
PATH = re.compile(r"(?<![\w/.])(?:output|train_configs|eval_configs|docs|examples)/[\w./-]+")
WRITES = re.compile(r"(?:--output(?:-dir)?|--target|output_dir=|tiny-originals)[ =]?\"?([^\s\",)]+)")
OUTSIDE = ("git", "cd", "pip", "make")
"""programs that are not ours: looked at in tests of their own"""


def as_here(line: str) -> str:
    """The command with smaller sizes; `torchrun`'s processes are tested in tests/runners, here its command runs."""
    if line.startswith("torchrun"):
        line = "minigpt4 train" + line.partition("train.py")[2]
    for program, command in PROGRAMS.items():
        line = line.replace(program, command)
    return line + SMALLER.get(shlex.split(line)[1], "")


def run_here(command: Command, one_page: Callable[[list[str]], None]) -> None:
    if command.language == "python":
        exec(command.text, {})
    elif command.text.startswith("python docs/one_page.py"):
        one_page(shlex.split(command.text)[1:])
    elif command.needs("network"):  # lists what to bring by hand, and ends with 2 as it lies nowhere
        assert run_command(f"{command.text} --offline") == 2, command.text
    else:
        assert run_command(as_here(command.text)) == 0, command.text


SLOW = ("docs/tutorial.md", "docs/tutorial_zh.md", "docs/from_minigpt4_zh.md")
"""half a minute each; the next test and the one of paths look at them always"""


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in PAGES])
def test_every_command_runs_after_make_demo(name: str, project: Path, after_make_demo: Path, one_page: ModuleType,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minigpt4.serve.page.launch", lambda page, **flags: "")  # the page itself: tests/browser

    def one_page_of(words: list[str]) -> None:
        monkeypatch.setattr("sys.argv", [*words, "--max-tokens", "3"])
        one_page.main()

    ours = [command for command in commands_of(project / name) if command.text.split()[0] not in OUTSIDE]
    assert len(ours) >= 5
    for command in ours:
        run_here(command, one_page_of)


@pytest.mark.parametrize("name", [*PAGES, OWN_DATA])
def test_every_command_has_flags_that_exist(name: str, project: Path) -> None:
    for command in commands_of(project / name):
        line = re.sub(r"^(?:torchrun .*?|python )train\.py", "minigpt4 train", command.text)
        words = shlex.split(line.replace("python demo.py", "minigpt4 demo")) if command.language == "bash" else [""]
        if words[0] == "minigpt4":
            door.parser_of(words[1], door._command(words[1])).parse_args(words[2:])


@pytest.mark.parametrize("name", [*PAGES, OWN_DATA])
def test_paths_in_commands_are_those_of_the_repository_or_written_by_an_earlier_command(
    name: str, project: Path, after_make_demo: Path,
) -> None:
    """Nothing invented: a path is there after `make demo`, or a command above it was told to write it."""
    written: set[str] = set()
    for command in commands_of(project / name):
        written |= set(WRITES.findall(command.text))
        for path in PATH.findall(command.text):
            known = any(path == one or path.startswith(f"{one}/") for one in written)
            assert known or (after_make_demo / path).exists(), f"{path} of: {command.text}"


@pytest.mark.parametrize("name", READMES)
def test_programs_outside_are_called_as_they_are(name: str, project: Path) -> None:
    """What needs the network says so; pip's files and the extra exist; make knows its targets."""
    for command in commands_of(project / name):
        words = shlex.split(command.text)
        if words[0] == "make":
            subprocess.run([*words, "--dry-run"], cwd=project, check=True, capture_output=True)
        if words[0] == "pip":
            assert words[1:5] == ["install", "-c", "constraints.txt", "-e"] and words[5] == ".[dev]"
            assert command.needs("network")
        if words[0] == "git":
            assert words[1:] == ["clone", repository()] and command.needs("network")


@pytest.mark.parametrize("name", [*PAGES, OWN_DATA])
def test_every_link_leads_somewhere(name: str, project: Path) -> None:
    page = project / name
    text = page.read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
                for line in text.splitlines() if line.startswith("#")}
    for target in re.findall(r'\]\(([^)]+)\)|src="([^"]+)"', text):
        link = target[0] or target[1]
        if link.startswith("#"):
            assert link[1:] in headings, link
        elif not link.startswith("http"):
            assert (page.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("number", range(0, len(PAGES), 2))
def test_both_languages_have_the_same_commands_and_sections(number: int, project: Path) -> None:
    pages = [project / name for name in PAGES[number : number + 2]]
    english, chinese = (page.read_text(encoding="utf-8") for page in pages)
    assert re.findall(r"^#+ ", english, re.MULTILINE) == re.findall(r"^#+ ", chinese, re.MULTILINE)
    plain = [[re.sub(r'"[^"]*"', "", command.text) for command in commands_of(page)] for page in pages]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("name", READMES)
def test_what_is_written_from_committed_results_is_what_they_say(name: str, project: Path) -> None:
    text = (project / name).read_text(encoding="utf-8")
    assert with_blocks(text, blocks_of("zh" if "_zh" in name else "en")) == text, "run: python benchmarks/readme.py"


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_promised_that_holds_on_one_machine_only(name: str, project: Path) -> None:
    text = (project / name).read_text(encoding="utf-8")
    assert not re.findall(r"Xeon|EPYC|GHz|Ryzen|Apple M\d", text)


def test_the_notebook_clones_from_the_address_of_the_readme(project: Path) -> None:
    assert f'REPOSITORY = \\"{repository()}\\"' in (project / "notebooks" / "minigpt4_colab.ipynb").read_text("utf-8")
