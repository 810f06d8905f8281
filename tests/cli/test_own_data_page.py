"""docs/own_data.md tells the truth: its commands run as printed, on a few of the photographs, from texts to captions in
Python; and the lines that it shows are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.pages import blocks, run_command, write_bundle, write_images
from tests.page_commands import commands_of

PHOTOGRAPHS = ("rose_01.jpg", "tulip_02.jpg", "shoe_03.jpg", "shirt_04.jpg")
SMALLER = {"chat": " --max-new-tokens 5", "caption": " --max-new-tokens 5"}


@pytest.fixture
def few_photographs(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """examples/photos with a few of its images, and a tiny bundle in the place of stage 1."""
    folder = tmp_path / "examples" / "photos"
    folder.mkdir(parents=True)
    for name in PHOTOGRAPHS:
        shutil.copy(project / "examples" / "photos" / name, folder)
    lines = (project / "examples" / "photos" / "captions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["image"] in PHOTOGRAPHS]
    (folder / "captions.jsonl").write_text("".join(kept), encoding="utf-8")
    write_bundle(tmp_path / "output" / "minigpt4_scenes_stage1", template="plain")
    monkeypatch.chdir(tmp_path)
    return folder


def test_u20_the_page_of_own_data_runs_as_printed(project: Path, few_photographs: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    commands = commands_of(project / "docs" / "own_data.md")
    for command in commands:
        if command.language == "python":
            exec(command.text, {})
            assert "examples/photos" not in capsys.readouterr().out.splitlines()[-1]
        else:
            line = command.text + SMALLER.get(command.text.split()[1], "")
            assert run_command(line) == 0, line
    output = tmp_path / "output"
    assert len(commands) == 8 and (output / "contact.png").exists()
    captions = [json.loads(line) for line in (output / "captions_own.jsonl").read_text("utf-8").splitlines()]
    assert {caption["image"] for caption in captions} == set(PHOTOGRAPHS)
    assert (output / "measured" / "report.html").exists() and (output / "eval_own" / "report.json").exists()


def test_u20_the_lines_that_the_page_shows_are_read(project: Path, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = blocks(project / "docs" / "own_data.md", "json")[0]
    write_images(tmp_path / "mine", *sorted({json.loads(line)["image"] for line in lines.splitlines()}))
    (tmp_path / "mine.jsonl").write_text(lines, encoding="utf-8")
    write_bundle(tmp_path / "bundle", template="plain")
    assert run_command("minigpt4 finetune --images mine --texts mine.jsonl --from bundle --output-dir out "
                       "--write-only") == 0
