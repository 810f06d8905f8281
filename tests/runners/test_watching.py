"""Watched questions: read from a file, answered before training, on the way and at the end, written to the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.runners.config import WatchConfig
from minigpt4.runners.watching import Watch, WatchedAnswer, read_questions
from tests import tiny

LINE = {"image": "a.png", "question": "What is this?", "answer": "A star."}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.new("RGB", (30, 20), (200, 30, 30)).save(tmp_path / "a.png")
    path = tmp_path / "watched.jsonl"
    path.write_text(json.dumps(LINE) + "\n\n" + json.dumps({**LINE, "question": "这是什么？"}) + "\n", encoding="utf-8")
    return path


def test_every_question_is_answered_greedily_and_anew(file: Path) -> None:
    watch = Watch(tiny.model(), WatchConfig(file=str(file), max_new_tokens=4))
    first, again = watch.answers(), watch.answers()
    assert [each.question for each in first] == ["What is this?", "这是什么？"] and first == again
    assert all(Path(each.image).is_file() and each.wanted == "A star." for each in first)


def test_an_answer_says_whether_it_is_right() -> None:
    right = WatchedAnswer("x/a.png", "What is this?", "A star.", "A star.")
    assert str(right) == "a.png: What is this? A star. (right)"
    assert str(WatchedAnswer("a.png", "", "A star.", "A car.")) == "a.png: (shown) A car. (wanted: A star.)"


@pytest.mark.parametrize(("line", "sentence"), [
    ("{", "is no question"), ('{"image": "a.png"}', "is no question.*question"),
    (json.dumps({**LINE, "image": "b.png"}), "b.png' is not there"),
])
def test_a_wrong_line_is_named(file: Path, line: str, sentence: str) -> None:
    file.write_text(f"{json.dumps(LINE)}\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=sentence) as raised:
        read_questions(file)
    assert raised.value.where.endswith("watched.jsonl:2")
