"""The top of the READMEs: figures and answers come from the results, what a model says is never markup."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import first_answers, readme_top
from minigpt4.inference.load import Assistant
from tests import tiny


@pytest.mark.parametrize(("language", "words"), [
    ("en", ["downloads 312 MB", "installs in 2 and trains in 6 minutes"]), ("zh", ["下载 312 MB", "训练约 6 分钟"]),
])
def test_what_it_costs_is_what_was_measured(language: str, words: list[str]) -> None:
    figures = {"install_megabytes": 311.6, "install_minutes": 1.7, "demo_minutes": 5.8}
    text = readme_top.first_hour(figures, language)
    assert all(each in text for each in words)


def test_answers_are_shown_in_their_language_and_never_as_markup() -> None:
    rows = [{"image": "a.png", "question": "What | is <b>it</b>?", "answer": "**A\nrose** & <img>", "language": "en"},
            {"image": "b.png", "question": "这是什么？", "answer": "玫瑰。", "language": "zh"}]
    table = readme_top.first_answers(rows, "en").splitlines()
    assert len(table) == 3 and "b.png" not in table[-1] and table[-1].count("|") == 4
    assert "What &#124; is &lt;b&gt;it&lt;/b&gt;?" in table[-1]
    assert "**&#42;&#42;A rose&#42;&#42; &amp; &lt;img&gt;**" in table[-1]


def test_the_first_commands_name_the_address_of_the_citation_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme_top, "repository", lambda: "https://github.com/somebody/eyes")
    lines = readme_top.start("en").splitlines()
    assert lines[1:4:2] == ["git clone https://github.com/somebody/eyes   # needs the network",
                            f"make demo   # {readme_top.ENGLISH.demo}"] and lines[2] == "cd eyes"
    assert "colab.research.google.com/github/somebody/eyes/blob/main/notebooks/minigpt4_colab.ipynb" in lines[-1]


def test_the_questions_are_about_files_of_the_repository_and_are_asked(project: Path) -> None:
    assert all((project / asked.image).is_file() for asked in first_answers.QUESTIONS)
    answered = first_answers.answered(Assistant(tiny.model()), first_answers.QUESTIONS[0])
    assert answered.question == first_answers.QUESTIONS[0].question and isinstance(answered.answer, str)


def test_the_committed_answers_are_those_of_these_questions(project: Path) -> None:
    rows = json.loads((project / "benchmarks" / "results" / "first_answers.json").read_text(encoding="utf-8"))
    asked = [(one.image, one.question, one.language) for one in first_answers.QUESTIONS]
    assert [(row["image"], row["question"], row["language"]) for row in rows] == asked
    assert all(row["answer"] for row in rows)
