"""docs/own_data.md tells the truth: its commands run as printed, from the data it shows to captions in Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.pages import blocks, run_command, write_bundle, write_images


def test_u20_the_page_of_own_data_runs_as_printed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    page = project / "docs" / "own_data.md"
    monkeypatch.chdir(tmp_path)
    lines = blocks(page, "json")[0]
    write_images(tmp_path / "my_photos", *sorted({json.loads(line)["image"] for line in lines.splitlines()}))
    (tmp_path / "my_photos" / "captions.jsonl").write_text(lines, encoding="utf-8")
    write_bundle(tmp_path / "output" / "minigpt4_scenes_stage1", template="plain")
    commands = [line for block in blocks(page, "bash") for line in block.splitlines()]
    for line in commands:
        if line.startswith("minigpt4 chat"):
            line += ' --question "what is this" --max-new-tokens 5'  # without a question it waits for one
        if line.startswith("minigpt4 caption"):
            line += " --max-new-tokens 5"
        assert run_command(line) == 0, line
    assert len(commands) == 7 and (tmp_path / "contact.png").exists()
    captions = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {caption["image"] for caption in captions} == {"rose.png", "garden/tulip.jpg"}
    assert (tmp_path / "output" / "measured" / "report.html").exists()
    assert (tmp_path / "output" / "eval_mine" / "report.json").exists()
    exec(blocks(page, "python")[0], {})
    assert "my_photos" not in capsys.readouterr().out.splitlines()[-1]
