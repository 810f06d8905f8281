"""What a model knows is part of it: from the YAML into the bundle, and from there to everybody who meets the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from minigpt4.assembly.manifest import describe_model
from minigpt4.cli.main import main
from minigpt4.ecosystem.model_card import model_card
from minigpt4.inference.load import load_model
from minigpt4.records.knowledge import Knowledge
from minigpt4.weights.bundles.bundle import open_bundle
from minigpt4.weights.bundles.places import newest_bundle
from tests import tiny
from tests.cli.pages import ONE_STEP, write_bundle

KNOWS = Knowledge(summary={"en": "Trained on stars.", "zh": "只认识星星。"},
                  questions={"en": ["What is this?", "Where?"]})


def test_a_language_without_words_hears_english() -> None:
    assert KNOWS.sentence("zh") == "只认识星星。" and KNOWS.sentence("fr") == "Trained on stars."
    assert replace(tiny.model(), knowledge=KNOWS).default_question == "What is this?"
    assert tiny.model().default_question is None
    assert KNOWS.questions_in("zh") == ["What is this?", "Where?"] and Knowledge().questions_in() == []


def test_model_card_and_description_say_it() -> None:
    loaded = replace(tiny.model(), knowledge=KNOWS)
    card = model_card(loaded, {"parts": {}}, name="mine")
    assert "Trained on stars. It was trained to answer:\n\n- What is this?\n- Where?\n" in card
    assert loaded.describe().endswith("Trained on stars.\nask: What is this?\nask: Where?")
    assert "trained to answer" not in model_card(tiny.model(), {"parts": {}}, name="mine")


def test_it_goes_from_a_run_into_its_bundle_and_from_there_into_the_next(after_make_demo: Path) -> None:
    said = open_bundle(newest_bundle(Path("output/minigpt4_scenes_stage2"))).manifest.knows
    assert said is not None and "photographs of ten classes" in said.sentence("en")
    assert "What is this?" in said.questions_in("en") and "这是什么？" in said.questions_in("zh")
    words = ["--cfg-path", "train_configs/minigpt4_scenes_stage2.yaml", "--options", *ONE_STEP.split(),
             "run.output_dir=output/next", "run.knows=null", "run.watch=null", "run.batch_size_train=2"]
    assert main(["train", *words]) == 0
    loaded = load_model("output/next", device="cpu")
    assert loaded.knowledge is not None and loaded.knowledge.sentence().startswith("Trained on drawn scenes")
    assert loaded.knowledge == open_bundle(newest_bundle(Path("output/minigpt4_scenes_stage1"))).manifest.knows


def test_chat_begins_with_it(after_make_demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["--question", "what is this", "--max-new-tokens", "2", "--device", "cpu"]
    assert main(["chat", "output/minigpt4_scenes_stage2", *ask]) == 0
    captured = capsys.readouterr()
    assert "photographs of ten classes" in captured.err and "Ask for example: What is this?" in captured.err
    assert "ten classes" not in captured.out
    write_bundle(Path("other"), template="vicuna_v0")
    assert main(["chat", "other", *ask]) == 0
    assert "Trained on" not in capsys.readouterr().err


def test_a_bundle_that_does_not_say_is_read() -> None:
    assert describe_model(tiny.model(), ())["knows"] is None
