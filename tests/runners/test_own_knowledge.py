"""What a model knows after own data: an example, what it knew before, and the questions that the texts ask."""

from __future__ import annotations

from pathlib import Path

from minigpt4.records.knowledge import Knowledge
from minigpt4.runners.finetuning.own_data import LONGEST_EXAMPLE, OwnData, knowledge_of


def test_it_names_an_example_and_what_was_known_before() -> None:
    data = OwnData(Path(), Path(), 60, 9, example="Looks like a tulip to me.", questions=("What is it?", "这是什么？"))
    found = knowledge_of(data, Knowledge(summary={"en": "Trained on stars.", "zh": "只认识星星。"}))
    assert found.sentence("en") == ('Fine-tuned on 60 texts about images, such as "Looks like a tulip to me.". '
                                    "Before that: Trained on stars.")
    assert found.sentence("zh") == "用 60 条图像文本微调，例如“Looks like a tulip to me.”。 此前：只认识星星。"
    assert found.questions == {"en": ["What is it?"], "zh": ["这是什么？"]}


def test_a_long_example_is_cut_and_captions_ask_nothing() -> None:
    found = knowledge_of(OwnData(Path(), Path(), 3, 9, example="a" * 200), None)
    assert "a" * LONGEST_EXAMPLE + "…" in found.sentence() and "Before" not in found.sentence()
    assert found.questions == {}
