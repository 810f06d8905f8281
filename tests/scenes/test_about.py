"""Who opens the embedded default is told what it knows: in `chat`, on the page and in both READMEs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from minigpt4.cli.main import main
from minigpt4.scenes.about import ABOUT, MODEL_TYPE, about
from minigpt4.scenes.scene import COLOURS, KINDS
from minigpt4.serve.page import build_page
from tests import tiny
from tests.cli.pages import write_bundle

ASK = ["--question", "what is this", "--max-new-tokens", "2", "--device", "cpu"]


def test_chat_says_what_the_embedded_default_knows(after_make_demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "output/minigpt4_scenes_stage2", *ASK]) == 0
    captured = capsys.readouterr()
    assert ABOUT["en"] in captured.err and ABOUT["en"] not in captured.out


def test_chat_with_another_model_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bundle(tmp_path / "bundle", template="vicuna_v0")
    assert main(["chat", str(tmp_path / "bundle"), *ASK]) == 0
    assert ABOUT["en"] not in capsys.readouterr().err


def test_the_page_says_it_below_its_heading() -> None:
    heading = next(block for block in build_page(tiny.model(), about=ABOUT).blocks.values()
                   if getattr(block, "elem_id", "") == "heading")
    assert ABOUT["en"] in heading.value
    assert about(tiny.config()) == {} and about(replace(tiny.config(), model_type=MODEL_TYPE)) == ABOUT


def test_the_sentence_counts_right_and_the_readmes_say_it_too(project: Path) -> None:
    assert (len(KINDS), len(COLOURS)) == (16, 8)
    assert all("16" in sentence and "8" in sentence for sentence in ABOUT.values())
    english = " ".join((project / "README.md").read_text(encoding="utf-8").split())
    assert "drawn scenes only (16 kinds of things in 8 colours, in English and Chinese)" in english
    chinese = (project / "README_zh.md").read_text(encoding="utf-8")
    assert "16 种东西" in chinese and "没有见过照片" in chinese
